"""What a peer's slave holds, and the control over it: a port that takes one JSON object a line and answers each with one.

    {"set": {"0": 800}}     registers, in both tables; {"holding": ...}, {"input": ...}, {"coils": ...} and
                            {"discrete": ...} set one table alone
    {"wobble": 40}          register 0 moves by up to so much around what was set, at each read
    {"exception": 4}        answer every read with this exception; 0: with values again
    {}                      nothing; the answer says how many reads were answered: {"served": 12}

Each of the four tables has 200 places. Registers 100 and 101 hold the number of the read, high word first: every answer
carries its own.
"""

import json
import random
import socketserver

PLACES = 200
SEQUENCE = 100
TABLES = {1: "coils", 2: "discrete", 3: "holding", 4: "input"}


class Contents:
    def __init__(self):
        self.tables = {name: [0] * PLACES for name in TABLES.values()}
        self.wobble = 0
        self.exception = 0
        self.served = 0
        self.random = random.Random(1)

    def read(self, function):
        """The table of a function code as the next answer sees it."""
        self.served += 1
        said = list(self.tables[TABLES[function]])
        if function in (3, 4):
            said[0] += self.random.randint(-self.wobble, self.wobble)
            said[SEQUENCE : SEQUENCE + 2] = [self.served >> 16, self.served & 0xFFFF]
        return said

    def write(self, function, start, values):
        """Function codes 05 and 15 write coils, 06 and 16 holding registers."""
        table = self.tables["coils" if function in (5, 15) else "holding"]
        table[start : start + len(values)] = [int(value) for value in values]

    def obey(self, line):
        command = json.loads(line)
        for name, tables in [("set", ("holding", "input"))] + [(name, (name,)) for name in self.tables]:
            for place, value in command.get(name, {}).items():
                for table in tables:
                    self.tables[table][int(place)] = value
        self.wobble = command.get("wobble", self.wobble)
        self.exception = command.get("exception", self.exception)
        return {"served": self.served}

    def control(self, port):
        """Obeys whoever comes to this port, for ever."""
        contents = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    self.wfile.write(json.dumps(contents.obey(line)).encode() + b"\n")

        socketserver.ThreadingTCPServer.daemon_threads = True
        with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as server:
            server.serve_forever()

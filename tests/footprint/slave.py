"""A Modbus TCP slave made with modbus-tk: `slave.py <port> <registers>`.

Input register 0 holds the number of the read, by which a reading is known wherever it turns up; the others wander like winds,
in tenths. Each read of register 0 is told on standard output: `<monotonic seconds> <number> <jump>`. A line `jump` on standard
input lets the next read of register 1 find a value that no wind has, and no more than that one.
"""

import random
import struct
import sys
import threading
import time

from modbus_tk import defines, hooks, modbus_tcp

JUMP = 990
STEPS = 0.3


class Winds:
    def __init__(self, registers):
        self.random = random.Random(7)
        self.winds = [80.0] * (registers - 1)
        self.number = 0
        self.jump = False

    def next(self):
        self.number = (self.number + 1) % 65_536
        self.winds = [80 + 0.97 * (wind - 80) + self.random.gauss(0, 3 * STEPS) for wind in self.winds]
        values = [self.number] + [max(0, round(wind)) for wind in self.winds]
        jump, self.jump = self.jump, False
        if jump:
            values[1] = JUMP
        print(f"{time.monotonic():.6f} {self.number} {int(jump)}", flush=True)
        return values


def main():
    port, registers = int(sys.argv[1]), int(sys.argv[2])
    winds = Winds(registers)
    server = modbus_tcp.TcpServer(address="127.0.0.1", port=port)
    slave = server.add_slave(1)
    slave.add_block("4", defines.ANALOG_INPUTS, 0, registers)

    def before(arguments):
        start, _ = struct.unpack(">HH", arguments[1][1:5])
        if start == 0:
            slave.set_values("4", 0, winds.next())

    hooks.install_hook("modbus.Slave.handle_read_input_registers_request", before)
    server.start()
    for line in sys.stdin:
        if line.strip() == "jump":
            winds.jump = True
    server.stop()


threading.excepthook = lambda *_: sys.exit(1)
main()

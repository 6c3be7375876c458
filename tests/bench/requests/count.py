#!/usr/bin/env python3
"""Counts what a turbine asks of AWS: eight channels at 1 Hz, from real agents through a real sink, on an emulator.

    count.py --bin DIR --venv DIR [--minutes 12]

Needs the programs windward-agent and windward-sink in --bin, ministack in --venv, and mosquitto. Between the programs and
the emulator stands a proxy that counts each request and what it costs in units: a write is an item's size in KiB rounded
up (as the item stands afterwards), a read four times as much, half of it where it need not be consistent. The runs are
side by side; the result is JSON, figures a turbine and hour, which `deploy/aws/cost` holds as its inputs.
"""

import argparse
import collections
import json
import math
import os
import random
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHANNELS = 8
# What stands where: name, source, seconds between publishes, agents, layout.
RUNS = [
    ("mqtt-1s", "mqtt", 1, 1, "packed"),
    ("mqtt-10s", "mqtt", 10, 1, "packed"),
    ("mqtt-60s", "mqtt", 60, 1, "packed"),
    ("mqtt-10s-8", "mqtt", 10, 8, "packed"),
    ("mqtt-10s-item", "mqtt", 10, 1, "item"),
    ("kinesis-1s", "kinesis", 1, 1, "packed"),
    ("kinesis-10s", "kinesis", 10, 1, "packed"),
    ("kinesis-60s", "kinesis", 60, 1, "packed"),
]
# Attributes that an index holds: a change of an item that has it writes the index too.
INDEXED = {"alerts": "agent", "hours": "dirty", "notices": "pending"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", required=True)
    arguments.add_argument("--venv", required=True)
    arguments.add_argument("--minutes", type=float, default=12)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            print(json.dumps(count(given, folder, started), indent=1))
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(20)


def count(given, folder, started):
    mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")

    def start(name, arguments, **environment):
        log = open(os.path.join(folder, name + ".log"), "w")
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **environment}
        environment.update(AWS_REGION="eu-west-1", AWS_EC2_METADATA_DISABLED="true")
        started.append(subprocess.Popen(arguments, stdout=log, stderr=log, env=environment))
        return started[-1]

    emulator, device, proxies = free_port(), Device(), {}
    start("ministack", [given.venv + "/bin/ministack"], BIND_HOST="127.0.0.1", GATEWAY_PORT=str(emulator))
    listens(emulator)
    for name, source, seconds, agents, layout in RUNS:
        proxy, stream = Proxy(emulator, f"{name}-"), name
        proxies[name] = proxy
        if source == "kinesis":
            proxy.call("Kinesis_20131202.CreateStream", {"StreamName": stream, "ShardCount": 1})
            while "ACTIVE" not in proxy.call("Kinesis_20131202.DescribeStreamSummary", {"StreamName": stream}):
                time.sleep(0.1)
        endpoint = f"http://127.0.0.1:{proxy.port}"
        if source == "mqtt":
            # One a run: the agents of all runs have the same names.
            broker = free_port()
            text = f"listener {broker} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            start(f"mosquitto-{name}", [mosquitto, "-c", write(folder, f"mosquitto-{name}.conf", text)])
            listens(broker)
            uplink = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
        else:
            uplink = f'[kinesis]\nstream = "{stream}"\nregion = "eu-west-1"\nendpoint = "{endpoint}"\n'
        config = write(folder, f"sink-{name}.toml", f"""farm = "ridge"
{uplink}
[store]
dynamodb = {{ endpoint = "{endpoint}", prefix = "{name}-", layout = "{layout}" }}
[archive]
folder = "{folder}/archive-{name}"
[http]
listen = "127.0.0.1:{free_port()}"
""")
        program = given.bin + "/windward-sink"
        subprocess.run([program, "check", "--create", "--config", config], check=False, capture_output=True,
                       env={**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                            "AWS_REGION": "eu-west-1"})
        start(f"sink-{name}", [program, "run", "--config", config])
        for agent in range(agents):
            channels = "".join(
                f'[[device.channel]]\nname = "channel-{channel}"\nunit = "m/s"\nregister = {channel}\ntype = "u16"\n'
                f"scale = 0.01\ndetect = {'true' if channel < 2 else 'false'}\n" for channel in range(CHANNELS))
            text = (f'agent = "turbine-{agent:02}"\nfarm = "ridge"\ndata = "{folder}/{name}-{agent}"\n{uplink}'
                    f"publish_every_ms = {seconds * 1000 if seconds > 1 else 0}\n"
                    f'[[device]]\nname = "controller"\nlocation = "Turbine {agent}, nacelle"\n'
                    f'modbus_tcp = {{ host = "127.0.0.1", port = {device.port} }}\n{channels}')
            start(f"agent-{name}-{agent}",
                  [given.bin + "/windward-agent", "run", "--config", write(folder, f"a-{name}-{agent}.toml", text)])
    # What is asked at a start, and once, is not counted.
    time.sleep(90)
    for proxy in proxies.values():
        proxy.counts.clear()
    begin = time.time()
    time.sleep(given.minutes * 60)
    hours = (time.time() - begin) / 3600
    for process in started:
        if process.poll() is not None:
            raise SystemExit(f"{process.args} has ended")
    result = {}
    for name, _, _, agents, _ in RUNS:
        figures = proxies[name].counts.items()
        result[name] = {key: {what: round(value / hours / agents, 2) for what, value in sorted(row.items())}
                        for key, row in sorted(figures)}
    return result


class Proxy:
    """Passes requests on to the emulator, and counts them."""

    def __init__(self, emulator, prefix):
        self.emulator = f"http://127.0.0.1:{emulator}"
        self.counts = collections.defaultdict(collections.Counter)
        self.prefix = prefix
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = urllib.request.Request(proxy.emulator + self.path, body, method="POST")
                for name, value in self.headers.items():
                    if name.lower() not in ("host", "content-length", "connection", "accept-encoding"):
                        request.add_header(name, value)
                try:
                    with urllib.request.urlopen(request) as answer:
                        status, headers, text = answer.status, answer.headers, answer.read()
                except urllib.error.HTTPError as error:
                    status, headers, text = error.code, error.headers, error.read()
                except OSError:
                    # The end of the run, or of the emulator: the client sees a cut connection.
                    self.close_connection = True
                    return
                proxy.count(self.headers.get("X-Amz-Target", ""), body, text)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def call(self, target, body):
        request = urllib.request.Request(self.emulator, json.dumps(body).encode(), method="POST")
        kind = "application/x-amz-json-1." + ("1" if target.startswith("Kinesis") else "0")
        request.add_header("X-Amz-Target", target)
        request.add_header("Content-Type", kind)
        service = target.split("_")[0].lower()
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/" + service
                           + "/aws4_request, SignedHeaders=host, Signature=0")
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def count(self, target, body, text):
        service, _, operation = target.partition(".")
        try:
            asked, said = json.loads(body), json.loads(text or b"{}")
        except ValueError:
            return
        if service.startswith("Kinesis"):
            row = self.counts["kinesis " + operation]
            row["calls"] += 1
            for record in asked.get("Records", []):
                size = len(record["Data"]) * 3 // 4 + len(record["PartitionKey"])
                row["records"] += 1
                row["bytes"] += size
                row["put_units"] += math.ceil(size / 25_600)
            return
        if operation == "BatchWriteItem":
            for table, requests in asked["RequestItems"].items():
                for request in requests:
                    self.wrote(table, operation, request["PutRequest"]["Item"])
            self.counts["dynamodb BatchWriteItem"]["calls"] += 1
        elif operation in ("PutItem", "UpdateItem", "DeleteItem"):
            item = asked.get("Item")
            if item is None:
                key = {"TableName": asked["TableName"], "Key": asked["Key"], "ConsistentRead": True}
                item = json.loads(self.call("DynamoDB_20120810.GetItem", key)).get("Item", asked["Key"])
            self.wrote(asked["TableName"], operation, item)
            self.counts["dynamodb " + operation]["calls"] += 1
        elif operation in ("GetItem", "Query", "Scan"):
            items = said.get("Items", [said["Item"]] if "Item" in said else [])
            size = sum(item_size(item) for item in items)
            half = 1 if asked.get("ConsistentRead") else 0.5
            row = self.counts["read " + asked["TableName"].removeprefix(self.prefix)]
            row["calls"] += 1
            row["units"] += max(1, math.ceil(size / 4096)) * half
            self.counts["dynamodb " + operation]["calls"] += 1

    def wrote(self, table, operation, item):
        name, size = table.removeprefix(self.prefix), item_size(item)
        row = self.counts["write " + name]
        row["items"] += 1
        row["bytes"] += size
        row["units"] += max(1, math.ceil(size / 1024))
        if INDEXED.get(name) in item:
            row["units"] += 1 if name == "hours" else max(1, math.ceil(size / 1024))


def item_size(item):
    """Bytes of an item, as DynamoDB counts them."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value):
    (kind, content), = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return math.ceil(len(content.strip("-+0.").replace(".", "")) / 2) + 1 + content.startswith("-")
        case "B":
            return len(content.rstrip("=")) * 3 // 4
        case "SS":
            return sum(len(member.encode()) for member in content)
        case "M":
            return 3 + sum(len(name.encode()) + 1 + value_size(member) for name, member in content.items())
        case "L":
            return 3 + sum(1 + value_size(member) for member in content)
        case _:
            return 1


class Device:
    """A Modbus TCP slave whose registers wander as wind and machine do: a mean that drifts, and gusts about it."""

    def __init__(self):
        device = self
        self.random, self.lock = random.Random(6), threading.Lock()
        self.values = [800.0 + 300 * channel for channel in range(CHANNELS)]

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                device.serve(self.request)

        socketserver.ThreadingTCPServer.daemon_threads = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(self, connection):
        while True:
            head = connection.recv(12, socket.MSG_WAITALL)
            if len(head) < 12:
                return
            transaction, _, _, unit, function, first, registers = struct.unpack(">HHHBBHH", head)
            words = b"".join(struct.pack(">H", self.word(first + at)) for at in range(registers))
            connection.sendall(struct.pack(">HHHBBB", transaction, 0, 3 + len(words), unit, function, len(words)) + words)

    def word(self, channel):
        with self.lock:
            mean = 800.0 + 300 * channel
            value = self.values[channel % CHANNELS]
            value += (mean - value) * 0.05 + self.random.gauss(0, 0.03 * mean)
            self.values[channel % CHANNELS] = value
            return max(0, min(65_535, round(value)))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on {port}")


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


if __name__ == "__main__":
    main()

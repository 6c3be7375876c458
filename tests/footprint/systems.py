"""The systems that are measured: how each is set up, started, and asked what has arrived of it."""

import json
import os
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import paho.mqtt.client as mqtt

HERE = os.path.dirname(os.path.abspath(__file__))


# A device of Windward's has no more.
MOST_CHANNELS = 64


class Load:
    """So many registers every so many seconds; `extra` is what Windward's configuration has besides."""

    def __init__(self, registers, pause, mqtt="", spool=""):
        self.registers, self.pause, self.mqtt, self.spool = registers, pause, mqtt, spool


# One register more than is counted: the number of the read.
LOADS = {
    "light": Load(9, 1.0),
    "light-10s": Load(9, 1.0, mqtt="publish_every_ms = 10000"),
    "light-30s": Load(9, 1.0, spool="commit_every_ms = 30000"),
    "heavy": Load(65, 0.1),
}


class Arrivals:
    """Hears everything that the broker gets, across its restarts, and notes when what came first."""

    def __init__(self, port, clock):
        self.messages, self.lock, self.clock = [], threading.Lock(), clock
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="arrivals", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_message = self.note
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def note(self, _client, _data, message):
        with self.lock:
            self.messages.append((self.clock(), message.topic, message.payload))

    def since(self, when, topic=""):
        with self.lock:
            return [one for one in self.messages if one[0] >= when and topic in one[1]]


class System:
    """What all have in common: ports, a folder that is measured, and one beside it that is not."""

    alerts = None

    def __init__(self, load, ports, folder, beside):
        self.load, self.ports, self.folder, self.beside = load, ports, folder, beside

    def prepare(self):
        """Starts what it needs beside itself."""

    def end(self):
        """Ends that."""

    def start(self):
        log = open(os.path.join(self.folder, "system.log"), "ab")
        return subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Windward(System):
    alerts = "windward/v1/turbine-01/alerts"
    readings = "windward/v1/turbine-01/readings"

    def prepare(self):
        channels = [
            f'[[device.channel]]\nname = "c{i}"\nquantity = "{"other" if i == 0 else "wind-speed"}"\n'
            f'unit = "{"1" if i == 0 else "m/s"}"\nregister = {i}\ntype = "u16"\ndetect = {"false" if i == 0 else "true"}\n'
            + ("" if i == 0 else "scale = 0.1\n")
            for i in range(self.load.registers)
        ]
        devices = [
            f"""[[device]]
name = "mast-{first // MOST_CHANNELS}"
modbus_tcp = {{ host = "127.0.0.1", port = {self.ports["slave"]} }}
slave = 1
interval_ms = {round(self.load.pause * 1000)}
{"".join(channels[first:first + MOST_CHANNELS])}"""
            for first in range(0, len(channels), MOST_CHANNELS)
        ]
        self.write("agent.toml", f"""agent = "turbine-01"
farm = "footprint"
data = "{self.folder}/data"
[mqtt]
host = "127.0.0.1"
port = {self.ports["broker"]}
{self.load.mqtt}
[spool]
{self.load.spool}
[[rule]]
name = "no wind"
channel = "c1"
above = 90.0
clear_below = 80.0
say = "Look at the sensor."
{"".join(devices)}""")
        with open(f"{self.beside}/sink.toml", "w") as file:
            file.write(f"""farm = "footprint"
[mqtt]
host = "127.0.0.1"
port = {self.ports["broker"]}
client_id = "sink"
[store]
sqlite = "{self.beside}/farm.db"
[http]
listen = "127.0.0.1:{self.ports["sink"]}"
guarded = true
""")
        log = open(os.path.join(self.beside, "sink.log"), "ab")
        run = [os.environ["WINDWARD_SINK"], "run", "--config", f"{self.beside}/sink.toml"]
        self.sink = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self):
        self.sink.terminate()
        self.sink.wait()

    def command(self):
        return [os.environ["WINDWARD_AGENT"], "run", "--config", f"{self.folder}/agent.toml"]

    def numbers(self, _arrivals):
        """The numbers of the reads that stand in the sink's table."""
        found, after = set(), None
        while True:
            asked = {"agent": "turbine-01", "device": "mast-0", "limit": 10_000} | ({"after": after} if after else {})
            address = f"http://127.0.0.1:{self.ports['sink']}/api/v1/readings?{urllib.parse.urlencode(asked)}"
            with urllib.request.urlopen(address) as answer:
                page = json.load(answer)
            found |= {int(row["values"]["c0"]) for row in page["rows"] if "c0" in row["values"]}
            after = page["next"]
            if not after:
                return found


class Loop(System):
    readings = "turbine-01/readings"

    def command(self):
        load = self.load
        return [sys.executable, f"{HERE}/loop.py", str(self.ports["slave"]), str(load.registers), str(load.pause),
                str(self.ports["broker"])]

    def numbers(self, arrivals):
        return {json.loads(payload)["values"]["c0"] for _, _, payload in arrivals.since(0, self.readings)}


class ThingsBoard(System):
    readings = "v1/gateway/telemetry"

    def prepare(self):
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        gateway = {
            "thingsboard": {
                "host": "127.0.0.1", "port": self.ports["broker"], "remoteShell": False, "remoteConfiguration": False,
                "statistics": {"enable": False}, "minPackSendDelayMS": 50, "minPackSizeToSend": 500,
                "checkConnectorsConfigurationInSeconds": 60, "qos": 1,
                "security": {"type": "accessToken", "accessToken": "turbine-01"},
            },
            "storage": {
                "type": "file", "data_folder_path": "./data/", "max_file_count": 10, "max_read_records_count": 10,
                "max_records_per_file": 10000,
            },
            "grpc": {"enabled": False},
            "connectors": [{"name": "Modbus", "type": "modbus", "configuration": "modbus.json"}],
        }
        slave = {
            "host": "127.0.0.1", "port": self.ports["slave"], "type": "tcp", "method": "socket", "unitId": 1,
            "deviceName": "mast", "deviceType": "default", "timeout": 5, "byteOrder": "BIG", "wordOrder": "BIG",
            "retries": 3, "pollPeriod": round(self.load.pause * 1000), "connectAttemptTimeMs": 1000,
            "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 1000, "attributes": [], "attributeUpdates": [], "rpc": [],
            "timeseries": [
                {"tag": f"c{i}", "type": "16uint", "address": i, "objectsCount": 1, "functionCode": 4}
                | ({"divider": 10} if i else {})
                for i in range(self.load.registers)
            ],
        }
        self.write("tb_gateway.json", json.dumps(gateway))
        self.write("modbus.json", json.dumps({"master": {"slaves": [slave]}}))
        self.write("logs.json", json.dumps({"version": 1, "root": {"level": "ERROR", "handlers": []}, "loggers": {}}))
        self.server = self.limits()

    def limits(self):
        """What ThingsBoard's server says when a gateway asks for its limits; it publishes nothing before."""
        most = "1000000:1"
        rates = {"messages": most, "telemetryMessages": most, "telemetryDataPoints": most}
        answer = json.dumps({"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": rates, "gatewayRateLimits": rates})
        asked, answered = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
        server = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="server")
        server.on_connect = lambda client, *_: client.subscribe(asked + "+", qos=1)
        server.on_message = lambda client, _, message: client.publish(answered + message.topic[len(asked):], answer, qos=1)
        server.reconnect_delay_set(1, 1)
        server.connect("127.0.0.1", self.ports["broker"])
        server.loop_start()
        return server

    def end(self):
        self.server.disconnect()
        self.server.loop_stop()

    def command(self):
        start = ("from thingsboard_gateway.gateway.tb_gateway_service import TBGatewayService; "
                 f"TBGatewayService('{self.folder}/tb_gateway.json')")
        return [f"{os.environ['FOOTPRINT_VENV']}-thingsboard/bin/python", "-c", start]

    def numbers(self, arrivals):
        found = set()
        for _, _, payload in arrivals.since(0, self.readings):
            for entry in json.loads(payload).get("mast", []):
                values = entry.get("values", entry)
                found |= {int(values["c0"])} if "c0" in values else set()
        return found


class Collectd(System):
    readings = "collectd/"

    def prepare(self):
        names = [f"c{i}" for i in range(self.load.registers)]
        data = "".join(
            f'<Data "{name}">\nRegisterBase {i}\nRegisterType Uint16\nRegisterCmd ReadInput\nType gauge\n'
            f'Instance "{name}"\n{"Scale 0.1" if i else ""}\n</Data>\n' for i, name in enumerate(names))
        collect = "\n".join(f'Collect "{name}"' for name in names)
        self.write("collectd.conf", f"""
Hostname "turbine-01"
BaseDir "{self.folder}"
PIDFile "{self.folder}/collectd.pid"
Interval {self.load.pause}
LoadPlugin modbus
LoadPlugin mqtt
<Plugin modbus>
{data}
<Host "mast">
Address "127.0.0.1"
Port "{self.ports["slave"]}"
Interval {self.load.pause}
<Slave 1>
Instance "mast"
{collect}
</Slave>
</Host>
</Plugin>
<Plugin mqtt>
<Publish "broker">
Host "127.0.0.1"
Port {self.ports["broker"]}
ClientId "turbine-01"
QoS 1
</Publish>
</Plugin>
""")

    def command(self):
        return ["/usr/sbin/collectd", "-f", "-C", f"{self.folder}/collectd.conf"]

    def numbers(self, arrivals):
        found = set()
        for _, topic, payload in arrivals.since(0, self.readings):
            if topic.endswith("-c0"):
                found.add(int(float(payload.rstrip(b"\0").split(b":")[1])))
        return found


SYSTEMS = {"windward": Windward, "loop": Loop, "thingsboard": ThingsBoard, "collectd": Collectd}

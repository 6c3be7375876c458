"""Measures systems one after the other: see `run` beside this file."""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from costs import Sockets, memory, snapshot
from systems import LOADS, SYSTEMS, Arrivals

HERE = os.path.dirname(os.path.abspath(__file__))
JUMPS = 10
AWAY_S = 60


def main():
    cases = [f"{system}:{load}" for system in SYSTEMS for load in LOADS if system == "windward" or load in ("light", "heavy")]
    parser = argparse.ArgumentParser(description="What an agent costs a gateway. See tests/footprint/run.")
    parser.add_argument("cases", nargs="*", metavar="SYSTEM:LOAD", help="of " + ", ".join(cases))
    parser.add_argument("--warm-up", type=int, default=120, metavar="S")
    parser.add_argument("--measure", type=int, default=180, metavar="S")
    parser.add_argument("--dir", default=None, metavar="FOLDER", help="where the systems keep their data")
    given = parser.parse_args()
    for case in given.cases:
        if case not in cases:
            parser.error(f"no case {case}; there are {', '.join(cases)}")
    # Ended from outside, it ends what it has started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    for case in given.cases or cases:
        system, load = case.split(":")
        print(f"== {case}", file=sys.stderr, flush=True)
        result = {"case": case} | Case(system, LOADS[load], given).run()
        print(json.dumps(result), file=sys.stderr, flush=True)
        results.append(result)
    print(table(results))


def table(results):
    """All figures, a column a case."""
    names = list(dict.fromkeys(name for result in results for name in result))
    lines = [[name] + [str(result.get(name, "")) for result in results] for name in names]
    return "\n".join(["| " + " | ".join(lines[0]) + " |", "|---" * len(lines[0]) + "|"]
                     + ["| " + " | ".join(line) + " |" for line in lines[1:]])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, patience, look):
    """Waits for something true of `look`."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited {patience} s in vain for {what}")


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Disk:
    """A folder on a file system of its own where that can be had: what its journal writes is counted too."""

    def __init__(self, folder):
        self.folder, self.device = folder, None
        os.makedirs(folder)
        image = folder + ".ext4"
        if os.geteuid() == 0 and shutil.which("mkfs.ext4"):
            subprocess.run(["truncate", "-s", "512M", image], check=True)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            if subprocess.run(["mount", "-o", "loop", image, folder], stderr=subprocess.DEVNULL).returncode == 0:
                source = subprocess.run(["findmnt", "-no", "SOURCE", folder], capture_output=True, text=True, check=True)
                self.device = os.path.basename(source.stdout.strip())

    def written(self):
        """Bytes that went to the device; `None` where it is not one of its own."""
        if not self.device:
            return None
        with open(f"/sys/block/{self.device}/stat") as stat:
            return int(stat.read().split()[6]) * 512

    def end(self):
        if self.device:
            subprocess.run(["umount", self.folder], check=True)


class Case:
    def __init__(self, system, load, given):
        self.given, self.load = given, load
        self.folder = tempfile.mkdtemp(prefix="footprint-", dir=given.dir)
        self.disk = Disk(os.path.join(self.folder, "disk"))
        self.ports = {name: free_port() for name in ("slave", "broker", "sink")}
        self.system = SYSTEMS[system](load, self.ports, self.disk.folder, self.folder)
        self.sockets = Sockets(self.ports["broker"])
        self.running = []

    def run(self):
        try:
            return self.measured()
        except SystemExit:
            # What it says of itself goes with its folder.
            with open(f"{self.disk.folder}/system.log", errors="replace") as log:
                print("".join(log.readlines()[-20:]), file=sys.stderr)
            raise
        finally:
            for one in reversed(self.running):
                one.kill()
                one.wait()
            self.disk.end()
            shutil.rmtree(self.folder)

    def measured(self):
        self.slave = subprocess.Popen(
            [sys.executable, f"{HERE}/slave.py", str(self.ports["slave"]), str(self.load.registers)],
            stdin=subprocess.PIPE, stdout=open(f"{self.folder}/reads", "wb"), text=True)
        self.running.append(self.slave)
        self.start_broker()
        until("the slave", 10, lambda: listens(self.ports["slave"]))
        self.arrivals = Arrivals(self.ports["broker"], time.monotonic)
        self.system.prepare()
        result = self.first_publish()
        result |= self.costs()
        if self.system.alerts:
            result |= self.alerts()
        result |= self.outage()
        self.system.end()
        return result

    def start_broker(self):
        config = os.path.join(self.folder, "mosquitto.conf")
        with open(config, "w") as file:
            file.write(f"listener {self.ports['broker']} 127.0.0.1\nallow_anonymous true\npersistence true\n"
                       f"persistence_location {self.folder}/\nmax_queued_messages 0\nuser root\n")
        self.broker = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.append(self.broker)
        until("the broker", 10, lambda: listens(self.ports["broker"]))

    def start(self):
        self.process = self.system.start()
        self.running.append(self.process)

    def first_publish(self):
        """From the start of the process to the first message, and to the first readings."""
        begin = time.monotonic()
        self.start()
        first = until("a publish", 60, lambda: self.arrivals.since(begin))
        readings = until("readings", 60, lambda: self.arrivals.since(begin, self.system.readings))
        return {"first publish ms": round((first[0][0] - begin) * 1000),
                "first readings ms": round((readings[0][0] - begin) * 1000)}

    def costs(self):
        time.sleep(self.given.warm_up)
        before, disk, begin = snapshot(self.process.pid, self.sockets), self.disk.written(), time.monotonic()
        first_reading = len(self.reads())
        seen = []
        while time.monotonic() < begin + self.given.measure:
            time.sleep(5)
            seen.append(memory(self.process.pid))
            self.sockets.look(self.process.pid)
        # What is written at once and synced by nobody reaches the device later.
        os.sync()
        after, minutes = snapshot(self.process.pid, self.sockets), (time.monotonic() - begin) / 60
        readings = len(self.reads()) - first_reading
        sent, received, out, came = [b - a for a, b in zip(before["wire"], after["wire"])]
        values = readings * (self.load.registers - 1)
        result = {
            "PSS MiB": round(max(pss for pss, _ in seen) / 1024, 1),
            "RSS MiB": round(max(rss for _, rss in seen) / 1024, 1),
            "CPU s/min": round((after["cpu"] - before["cpu"]) / minutes, 3),
            "wake-ups/s": round((after["wakes"] - before["wakes"]) / minutes / 60, 1),
            "readings/s": round(readings / minutes / 60, 2),
            "written kB/min": round((after["written"] - before["written"]) / minutes / 1000),
            "sent B per 8 values": round(sent / values * 8, 1),
            "wire B per 8 values, TCP/IP and both ways": round((sent + received + 40 * (out + came)) / values * 8, 1),
        }
        if disk is not None:
            result["device kB/min"] = round((self.disk.written() - disk) / minutes / 1000)
        return result

    def reads(self):
        """What the slave was asked: (when, number, whether it jumped then)."""
        with open(f"{self.folder}/reads") as file:
            return [(float(when), int(number), jump == "1") for when, number, jump in
                    (line.split() for line in file if line.endswith("\n"))]

    def alerts(self):
        """From the slave's answer to the message of the alert that it raises."""
        delays = []
        for _ in range(JUMPS):
            before = len(self.reads())
            self.slave.stdin.write("jump\n")
            self.slave.stdin.flush()
            when = until("a jump", 10, lambda: [when for when, _, jump in self.reads()[before:] if jump])[0]
            came = until("its alert", 60, lambda: self.arrivals.since(when, self.system.alerts))
            delays.append((came[0][0] - when) * 1000)
            # The alert ends before the next one.
            time.sleep(max(3, 5 * self.load.pause))
        return {"alert ms, median": round(statistics.median(delays), 1), "alert ms, worst": round(max(delays), 1)}

    def outage(self):
        """The broker is away for a minute, and the system is killed in the middle of it and started again."""
        begin = len(self.reads())
        self.broker.terminate()
        self.broker.wait()
        time.sleep(AWAY_S / 2)
        self.process.kill()
        self.process.wait()
        self.start()
        time.sleep(AWAY_S / 2)
        self.start_broker()
        time.sleep(30)
        end = time.monotonic()
        due = {number for when, number, _ in self.reads()[begin:] if when < end - 5}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and due - self.system.numbers(self.arrivals):
            time.sleep(1)
        missing = due - self.system.numbers(self.arrivals)
        return {"readings in the outage": len(due), "lost": len(missing)}


main()

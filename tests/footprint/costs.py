"""What a process costs, read from /proc and from the kernel's sockets."""

import os
import subprocess


def family(pid):
    """The process and all below it."""
    found, pending = [], [pid]
    while pending:
        pid = pending.pop()
        found.append(pid)
        for task in tasks(pid):
            try:
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    pending += map(int, children.read().split())
            except FileNotFoundError:
                pass
    return found


def tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def fields(path, wanted):
    """Of lines `name: number`, those of the wanted names."""
    with open(path) as lines:
        pairs = (line.split(":") for line in lines if ":" in line)
        return {name: int(rest.split()[0]) for name, rest in pairs if name in wanted}


def memory(pid):
    """PSS and RSS, KiB."""
    total = {"Pss": 0, "Rss": 0}
    for one in family(pid):
        for name, kib in fields(f"/proc/{one}/smaps_rollup", total).items():
            total[name] += kib
    return total["Pss"], total["Rss"]


class Sockets:
    """Bytes and segments of a process's TCP connections to a port, summed over connections that come and go."""

    def __init__(self, port):
        self.port = port
        self.known = {}

    def look(self, pid):
        family_of = family(pid)
        said = subprocess.run(["ss", "-tinpOH", "dport", "=", str(self.port)], capture_output=True, text=True, check=True)
        for line in said.stdout.splitlines():
            if not any(f"pid={one}," in line for one in family_of):
                continue
            counts = dict(word.split(":", 1) for word in line.split() if ":" in word)
            local = line.split()[3]
            names = ("bytes_sent", "bytes_received", "segs_out", "segs_in")
            self.known[local] = [int(counts.get(name, 0)) for name in names]

    def sums(self):
        return [sum(column) for column in zip(*self.known.values())] or [0] * 4


def snapshot(pid, sockets):
    """Everything that only grows: seconds of CPU, switches, bytes to disk, bytes and segments on the wire."""
    sockets.look(pid)
    cpu = switches = written = 0
    for one in family(pid):
        # User and system time of the process, threads that have ended among it.
        with open(f"/proc/{one}/stat") as stat:
            cpu += sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        for task in tasks(one):
            switches += fields(f"/proc/{one}/task/{task}/status", ("voluntary_ctxt_switches",))["voluntary_ctxt_switches"]
        written += fields(f"/proc/{one}/io", ("write_bytes",))["write_bytes"]
    return {"cpu": cpu, "wakes": switches, "written": written, "wire": sockets.sums()}

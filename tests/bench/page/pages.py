"""Pages that stay open on one sink: what they cost it, and how late each hears what happens. See `run` beside this file.

Each page follows the readings of one turbine, as the turbine's view does, and hears of the whole farm. The delay is from the
time of the newest reading in an event to the event at the page; the farm and the pages have one clock.
"""

import argparse
import asyncio
import json
import os
import time
import urllib.parse
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
SETTLE_S = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", metavar="URL", help="of a sink's page")
    parser.add_argument("--pid", type=int, required=True, help="process of the sink")
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    asyncio.run(measure(given))


async def measure(given):
    host = urllib.parse.urlsplit(given.url)
    with urllib.request.urlopen(f"{given.url}/api/v1/agents", timeout=30) as answer:
        agents = [agent["agent"] for agent in json.load(answer)["agents"]]
    alone = await cost(given.pid, given.seconds)
    heard = Heard()
    pages = []
    for index in range(given.pages):
        pages.append(asyncio.create_task(page(host.hostname, host.port, agents[index % len(agents)], heard)))
        # Not more at once than one address may ask.
        await asyncio.sleep(0.01)
    await heard.opened(given.pages)
    await asyncio.sleep(SETTLE_S)
    heard.counts = True
    beside = await cost(given.pid, given.seconds)
    own = time.process_time()
    heard.counts = False
    gone = sum(page.done() for page in pages)
    for one in pages:
        one.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    await asyncio.sleep(SETTLE_S)
    after = memory(given.pid)
    print(f"FIGURE {given.pages} pages open for {given.seconds} s, {gone} hung up: {sum(heard.events.values())} events "
          f"({', '.join(f'{count} {name}' for name, count in sorted(heard.events.items()))})")
    print(f"FIGURE delay from a reading's time to the page: {spread(heard.delays)} ms; "
          f"from the first page that hears an event to the last: {spread(heard.spreads())} ms")
    print(f"FIGURE the sink's resident memory: {alone[0]:.1f} MiB alone, {beside[0]:.1f} MiB with the pages "
          f"({(beside[0] - alone[0]) * 1024 / given.pages:.1f} KiB a page), {after:.1f} MiB when they are gone; "
          f"of a core: {alone[1]:.1f} % alone, {beside[1]:.1f} % with them")
    print(f"FIGURE what listens took {own:.0f} s of processor time; load of this machine {os.getloadavg()[0]:.1f}, "
          f"{os.cpu_count()} processors")


class Heard:
    """What all pages hear."""

    def __init__(self):
        self.counts, self.open, self.events, self.delays, self.times = False, 0, {}, [], {}

    async def opened(self, pages):
        deadline = time.monotonic() + 60
        while self.open < pages:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self.open} of {pages} pages are open")
            await asyncio.sleep(0.05)

    def event(self, name, data):
        if not self.counts:
            return
        now_ms = time.time() * 1000
        self.events[name] = self.events.get(name, 0) + 1
        if name == "readings":
            # The last moment's time is the last number of this name; to parse all would measure Python.
            at = data.rindex(b'"time_ms":') + 10
            read_ms = int(data[at:data.index(b",", at)] if b"," in data[at:] else data[at:].rstrip(b"}]"))
            self.delays.append(now_ms - read_ms)
            times = self.times.setdefault((data[:40], read_ms), [now_ms, now_ms])
            times[0], times[1] = min(times[0], now_ms), max(times[1], now_ms)

    def spreads(self):
        return [last - first for first, last in self.times.values()]


async def page(host, port, agent, heard):
    reader, writer = await asyncio.open_connection(host, port, limit=2**24)
    writer.write(f"GET /api/v1/live?agent={agent} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    try:
        status = await reader.readline()
        if b" 200 " not in status:
            raise SystemExit(f"a page was refused: {status.decode().strip()}")
        name = ""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
                if name == "hello":
                    heard.open += 1
            elif line.startswith(b"data: "):
                heard.event(name, line[6:].strip())
    finally:
        writer.close()


async def cost(pid, seconds):
    """Mean resident memory, MiB, and processor time in per cent of a core."""
    before, began, seen = processor(pid), time.monotonic(), []
    while time.monotonic() - began < seconds:
        seen.append(memory(pid))
        await asyncio.sleep(1)
    return sum(seen) / len(seen), (processor(pid) - before) * 100 / (time.monotonic() - began)


def processor(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def spread(values):
    values = sorted(values)
    if not values:
        return "none"
    at = [values[int((len(values) - 1) * part)] for part in (0.5, 0.99, 1.0)]
    return f"median {at[0]:.0f}, p99 {at[1]:.0f}, worst {at[2]:.0f}"


if __name__ == "__main__":
    main()

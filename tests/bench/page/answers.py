"""How long the sink takes to answer for pictures of a year and of its parts. See `run` beside this file."""

import calendar
import json
import os
import sys
import time
import urllib.request

REPEATS = 20
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def main():
    url, file, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
    size = sum(os.path.getsize(file + end) for end in ("", "-wal") if os.path.exists(file + end))
    print(f"FIGURE the store has {size / 1e9:.2f} GB")
    days, _ = asked(url, "/api/v1/days")
    # The middle of the last day that is whole.
    last = max(day["date"] for day in days["days"])
    middle = calendar.timegm(time.strptime(last, "%Y-%m-%d")) * 1000 - 12 * HOUR_MS
    of = "agent=turbine-1&device=nacelle&channel=wind_speed"
    spans = {"year": 365 * DAY_MS, "30 days": 30 * DAY_MS, "7 days": 7 * DAY_MS, "day": DAY_MS, "hour": HOUR_MS,
             "minute": 60_000}
    asks = {f"series, {name}": f"/api/v1/series?{of}&from={middle - ms}&to={middle}&points=1000" for name, ms in spans.items()}
    asks["10-minute table, week"] = f"/api/v1/stats?{of}&from={middle - 7 * DAY_MS}&to={middle}&limit=1000"
    asks["days, year"] = "/api/v1/days"
    asks["rose and turbulence, year"] = "/api/v1/wind?agent=turbine-1&device=nacelle"
    asks["delivery"] = "/api/v1/delivery"
    asks["metrics"] = "/metrics"
    print(f"{'':28}{'first ms':>10}{'median ms':>10}{'worst ms':>10}{'kB':>8}  level")
    for name, path in asks.items():
        _, first = asked(url, path)
        times = []
        for _ in range(REPEATS):
            answer, took = asked(url, path)
            times.append(took)
        times.sort()
        level = answer.get("level", "") if isinstance(answer, dict) else ""
        print(f"FIGURE {name:28}{first:>10.1f}{times[REPEATS // 2]:>10.1f}{times[-1]:>10.1f}{asked.size / 1e3:>8.1f}  {level}")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    print(f"FIGURE the sink's greatest resident memory: {int(peak.split()[1]) / 1024:.0f} MiB; "
          f"load of this machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")


def asked(url, path):
    """The answer, and how long it took, ms."""
    began = time.monotonic()
    with urllib.request.urlopen(url + path, timeout=120) as answer:
        body = answer.read()
    took = (time.monotonic() - began) * 1000
    asked.size = len(body)
    return (json.loads(body) if body[:1] in b"{[" else body), took


if __name__ == "__main__":
    main()

"""Prints the values of the channel `read` of all rows that a sink has stored, one a line.

    stored.py <the sink's HTTP port>
"""

import json
import sys
import time
import urllib.request

FAR_MS = 3_600_000
now = int(time.time() * 1000)
url = (
    f"http://127.0.0.1:{sys.argv[1]}/api/v1/readings?agent=turbine-01&device=controller"
    f"&from={now - FAR_MS}&to={now + FAR_MS}&limit=10000"
)
try:
    answer = json.load(urllib.request.urlopen(url, timeout=10))
except OSError:
    sys.exit(0)
for row in answer["rows"]:
    if "read" in row["values"]:
        print(int(row["values"]["read"]))

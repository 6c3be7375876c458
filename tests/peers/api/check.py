"""Holds a running farm's API against its own document (schemathesis), and /metrics and the Grafana dashboards against
Prometheus' own reader. Then a sink over the same store that asks who everybody is.

    check.py PROGRAMS [--seed N] [--examples N]

PROGRAMS is the folder of `farm` and `windward-sink`. The live stream is read up to its first event: it has no end.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import dashboards

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 120


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", metavar="PROGRAMS")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("WINDWARD_SEED", "1")))
    parser.add_argument("--examples", type=int, default=40, help="requests of each kind and operation")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windward-api-") as folder:
        said = os.path.join(folder, "farm.out")
        with open(said, "w") as out:
            farm = subprocess.Popen(
                [os.path.join(given.programs, "farm"), "--http", "127.0.0.1:0", "--control", "127.0.0.1:0",
                 "--data", os.path.join(folder, "data"), "--fault", "gust@2s", "--fault", "stuck:2@2s"], stdout=out, stderr=out)
        try:
            url = until("the farm's page", lambda: re.search(r"^Page: (\S+)", open(said).read(), re.M))[1]
            alerts = until("an alert", lambda: get(url, "/api/v1/alerts")["alerts"])
            until("readings of all turbines", lambda: text(url, "/metrics").count("newest_reading_timestamp_seconds{") == 3)
            faults = list(dashboards.faults(text(url, "/metrics"), lambda path: get(url, path)))
            for fault in faults:
                print(f"FAULT {fault}")
            with open(os.path.join(folder, "schemathesis.toml"), "w") as config:
                config.write(settings(get(url, "/api/v1/agents")["agents"], alerts))
            good = check("nobody is asked who he is", url, [], folder, given)
            broker = re.search(r"^Broker: mqtt://\S+:(\d+)", open(said).read(), re.M)[1]
            good &= check_accounts(broker, folder, given)
            return 0 if good and not faults else 1
        finally:
            farm.terminate()
            farm.wait()


def check_accounts(broker, folder, given):
    """The same of a sink that lets in nobody without a token: schemathesis also asks without it, and with a wrong one."""
    program = os.path.join(given.programs, "windward-sink")
    made = subprocess.run([program, "token", "schemathesis", "--role", "admin"], capture_output=True, text=True, check=True)
    token, account = made.stdout.split("\n\n", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with open(os.path.join(folder, "sink.toml"), "w") as config:
        config.write(f'farm = "simulated"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker}\nclient_id = "another"\n'
                     f'[store]\nsqlite = "{folder}/data/farm.db"\n'
                     f'[http]\nlisten = "{address}"\nrequests_per_s = 10000\n{account}')
    with open(os.path.join(folder, "sink.out"), "w") as out:
        sink = subprocess.Popen([program, "run", "--config", config.name], stdout=out, stderr=out)
    try:
        url = f"http://{address}"
        until("the sink with accounts", lambda: is_well(url))
        return check("with accounts", url, ["--header", f"Authorization: Bearer {token}"], folder, given)
    finally:
        sink.terminate()
        sink.wait()


def is_well(url):
    try:
        return text(url, "/healthz")
    except OSError:
        return None


def check(what, url, arguments, folder, given):
    began = time.monotonic()
    ran = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "--config-file", "schemathesis.toml", "run",
         f"{url}/api/v1/openapi.json", "--seed", str(given.seed), "--max-examples", str(given.examples), *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": HERE}, capture_output=True, text=True, check=False)
    found = re.search(r"^ +(\d+) generated", ran.stdout, re.M)
    tested = re.search(r"^ +Tested: (\d+)", ran.stdout, re.M)
    if ran.returncode != 0 or not found or not tested:
        print(ran.stdout + ran.stderr)
        return False
    print(f"FIGURE schemathesis, {what}: {found[1]} requests to {tested[1]} operations, seed {given.seed}, "
          f"{time.monotonic() - began:.0f} s, nothing found")
    return True


def settings(agents, alerts):
    """Schemathesis' configuration: half of the requests name what is there."""
    devices = [device for agent in agents for device in agent["devices"]]
    known = {
        "agent": [agent["agent"] for agent in agents],
        "device": sorted({device["device"] for device in devices}),
        "channel": sorted({channel["name"] for device in devices for channel in device["channels"]}),
        "id": [alert["id"] for alert in alerts],
    }
    lines = [
        'hooks = "hooks"', "max-stream-events = 1", "continue-on-failure = true",
        "[phases.examples]", "enabled = true", "[phases.coverage]", "enabled = true",
        "[phases.fuzzing]", "enabled = true", "[phases.stateful]", "enabled = false",
        # Who shows so much that is wrong is refused for a while (429); each operation is tried so in the other phases.
        "[phases.fuzzing.checks.ignored_auth]", "enabled = false",
        "[generation]", 'database = "none"',
        # What is too large need not be read to be refused.
        "[checks.negative_data_rejection]", f"expected-statuses = {json.dumps([*range(400, 430), '5xx'])}",
    ]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    lines += [f'{name} = {{ dictionary = "{name}", probability = 0.5 }}' for name in known]
    return "\n".join(lines) + "\n"


def until(what, look):
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    sys.exit(f"{what} did not come within {PATIENCE_S} s")


def text(url, path):
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        return answer.read().decode()


def get(url, path):
    return json.loads(text(url, path))


if __name__ == "__main__":
    sys.exit(main())

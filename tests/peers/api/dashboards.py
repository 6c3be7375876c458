"""Whether the Grafana dashboard asks for what a running sink tells: figures of /metrics, answers of the API."""

import json
import os
import re
import urllib.parse

import jq
import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

GRAFANA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../deploy/grafana")
# What Grafana puts into queries, as one that Prometheus would take.
VARIABLES = {"$__rate_interval": "1m", "$agent": ".*"}


def faults(metrics, ask):
    """What is wrong; `metrics` is the text of /metrics, `ask` gets JSON from the API."""
    told = labels_of(metrics)
    with open(os.path.join(GRAFANA, "dashboards/windward.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    panels = dashboard["panels"]
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have one id"
    sources = set(provisioned("datasources", "datasources", "uid"))
    for panel in panels:
        if panel["datasource"]["uid"] not in sources:
            yield f"{panel['title']}: no such data source is provisioned: {panel['datasource']['uid']}"
        for target in panel["targets"]:
            found = of_figures(target["expr"], told) if "expr" in target else of_api(target, ask)
            yield from (f"{panel['title']}: {fault}" for fault in found)
    for variable in dashboard["templating"]["list"]:
        query = variable["query"]
        asked = query.get("infinityQuery")
        found = of_api(asked, ask) if asked else of_figures(re.match(r"label_values\((.*), \w+\)$", query["query"])[1], told)
        yield from (f"variable {variable['name']}: {fault}" for fault in found)
    yield from overlaps(panels)
    if list(provisioned("dashboards", "providers", "type")) != ["file"]:
        yield "dashboards are provisioned from files"


def labels_of(metrics):
    """The labels of each figure, by its name, as Prometheus' own client reads them."""
    told = {}
    for family in text_string_to_metric_families(metrics):
        if not family.documentation or family.type not in ("counter", "gauge"):
            raise ValueError(f"{family.name} has no help or no type")
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    return told


def of_figures(query, told):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    try:
        parsed = promql_parser.parse(query)
    except ValueError as error:
        yield f"{query}: {error}"
        return
    if "$" in query:
        yield f"{query}: an unknown variable"
    # The parser has said that it is PromQL, so that names are what looks like one.
    for name, matchers in re.findall(r"\b(windward_\w+)(?:\{([^}]*)\})?", parsed.prettify()):
        if name in told:
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
                if label not in told[name]:
                    yield f"{query}: {name} has no label {label}"
        elif not name.startswith("windward_target_"):
            yield f"{query}: /metrics has no {name}"


def of_api(target, ask):
    """Asks what the panel asks, of a channel that is there; and takes it apart as the panel does."""
    farm = ask("/api/v1/agents")
    agent, now = farm["agents"][0], farm["now_ms"]
    device = agent["devices"][0]
    known = {"$turbine": agent["agent"], "$device": device["device"], "$channel": device["channels"][0]["name"],
             "${__from}": str(now - 60_000), "${__to}": str(now)}

    def put_in(text):
        for name, value in known.items():
            text = text.replace(name, value)
        return text

    params = {param["key"]: put_in(param["value"]) for param in target["url_options"].get("params", [])}
    answer = ask(f"{target['url']}?{urllib.parse.urlencode(params)}" if params else target["url"])
    try:
        rows = jq.compile(put_in(target["root_selector"])).input_value(answer).first()
    except ValueError as error:
        yield f"{target['root_selector']}: {error}"
        return
    if not rows:
        yield f"{target['url']}: nothing is answered"
        return
    for column in target["columns"]:
        if column["selector"] not in rows[0]:
            yield f"{target['url']}: the answer has no {column['selector']}"
        elif "timestamp" in column["type"] and not rows[0][column["selector"]] > 1e12:
            yield f"{target['url']}: {column['selector']} is no time in ms"


def overlaps(panels):
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (other := taken.setdefault((x, y), panel["title"])) != panel["title"]:
                    yield f"{panel['title']} lies upon {other}"
                    return
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']} is too wide"


def provisioned(folder, kind, field):
    folder = os.path.join(GRAFANA, "provisioning", folder)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield from (entry[field] for entry in yaml.safe_load(file)[kind])

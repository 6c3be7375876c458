"""Whether bills of materials are what they say: by CycloneDX's own schema, and by what we know of the programs.

    bill.py FILE...
"""

import json
import re
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# In both programs; in no program; and in the sink alone.
IN_BOTH = {"rustls", "ring", "rumqttc", "postcard", "windward-protocol"}
IN_NONE = {"rumqttd", "proptest", "krcflib", "serde_derive", "cc", "openssl", "native-tls", "aws-lc-rs", "windward-tests"}
IN_SINK = {"sqlite", "mimalloc", "axum"}


def faults(text):
    if found := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        yield f"not by the schema: {found}"
    bill = json.loads(text)
    components = bill["components"]
    program = bill["metadata"]["component"]
    names = {component["name"] for component in components}
    refs = [program["bom-ref"], *(component["bom-ref"] for component in components)]
    if len(refs) != len(set(refs)):
        yield "a component stands there twice"
    told = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    if set(told) != set(refs) or any(ref not in told for on in told.values() for ref in on):
        yield "the dependencies are not those of the components"
    reached, ahead = set(), [program["bom-ref"]]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead.extend(told[ref])
    if reached != set(refs):
        yield f"nothing leads to {set(refs) - reached}"
    wanted = IN_BOTH | (IN_SINK if program["name"] == "windward-sink" else set())
    if missing := wanted - names:
        yield f"missing: {missing}"
    if strange := IN_NONE & names:
        yield f"in no program: {strange}"
    for component in components:
        ours, carried = component["name"].startswith("windward-"), component["purl"].startswith("pkg:generic/")
        if not ours and not carried and ("licenses" not in component or "hashes" not in component):
            yield f"{component['purl']} has no licence or no checksum"
        if not re.match(r"[0-9]", component["version"]):
            yield f"{component['purl']} has no version"


def main():
    bad = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for fault in faults(text):
            bad += 1
            print(f"{path}: {fault}")
        bill = json.loads(text)
        print(f"FIGURE {bill['metadata']['component']['name']}: {len(bill['components'])} components")
    sys.exit(bad > 0 or len(sys.argv) < 2)


main()

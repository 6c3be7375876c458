"""Reads records as the consumers of the AWS wind farm labs do.

    labs_consumer.py STREAM

Standard input is a JSON list of the records' texts; the output is one of what was read of each: location, speed and
score, or location and speed.
"""

import csv
import json
import sys


def anomaly(text):
    record = json.loads(text)
    return [record["location"], float(record["speed"]), float(record["score"])]


def maximum(text):
    location, speed = next(csv.reader([text]))
    return [location, float(speed)]


READERS = {"AnomalyDetectionStream": anomaly, "MaxWindSpeed": maximum}
json.dump([READERS[sys.argv[1]](text) for text in json.load(sys.stdin)], sys.stdout)

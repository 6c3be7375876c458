import { test } from "node:test";
import assert from "node:assert/strict";
import { ago, axisLabels, between, DAY, dayStart, duration, exact, HOUR, MINUTE, SECOND } from "../src/time.ts";

const AT = Date.UTC(2026, 10, 22, 14, 3, 5);

test("exact times say their zone when it is not the reader's", () => {
  assert.equal(exact(AT, "utc"), "2026-11-22 14:03:05 UTC");
  assert.match(exact(AT, "local"), /^2026-11-2\d \d\d:\d\d:05$/);
});

test("a span within a day tells the day once", () => {
  assert.equal(between(AT, AT + HOUR, "utc"), "2026-11-22 14:03:05 – 15:03:05 UTC");
  assert.equal(between(AT, AT + DAY, "utc"), "2026-11-22 14:03:05 – 2026-11-23 14:03:05 UTC");
});

test("durations have two units at most", () => {
  assert.deepEqual([400, 59 * SECOND, 90 * SECOND, 125 * MINUTE, 2 * HOUR, 28 * HOUR, 40 * DAY].map(duration),
    ["0 s", "59 s", "1 min", "2 h 5 min", "2 h", "1 d 4 h", "40 d"]);
});

test("ages move in steps, so that a page does not flicker", () => {
  const words = [2, 14, 19, 59, 60, 3_700].map((s) => ago(AT - s * SECOND, AT));
  assert.deepEqual(words, ["just now", "10 s ago", "10 s ago", "50 s ago", "1 min ago", "1 h 1 min ago"]);
  assert.equal(ago(null, AT), "never");
  assert.equal(ago(AT + 5 * SECOND, AT), "just now");
});

test("an axis tells the day where it begins", () => {
  const night = Date.UTC(2026, 10, 22, 23);
  assert.deepEqual(axisLabels([night, night + HOUR, night + 2 * HOUR], HOUR, "utc"), ["23:00\n22 Nov", "00:00\n23 Nov", "01:00"]);
  assert.deepEqual(axisLabels([night], 10 * SECOND, "utc"), ["23:00:00\n22 Nov"]);
  assert.deepEqual(axisLabels([night, night + 30 * DAY, night + 60 * DAY], 30 * DAY, "utc"), ["Nov\n2026", "Dec", "Jan\n2027"]);
  assert.deepEqual(axisLabels([night, night + DAY], DAY, "utc"), ["22 Nov\n2026", "23 Nov"]);
});

test("a day of the calendar begins in its zone", () => {
  assert.equal(dayStart("2026-11-22", "utc"), Date.UTC(2026, 10, 22));
  assert.equal(dayStart("", "utc"), null);
});

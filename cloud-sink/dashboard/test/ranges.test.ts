import { test } from "node:test";
import assert from "node:assert/strict";
import { ending, held, moved, pointsFor, rangeOf, refreshEvery, zoomed } from "../src/ranges.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../src/time.ts";

const NOW = 1_800_000_000_000;

test("zooming keeps the time under the pointer where it is", () => {
  const span = { from: NOW - HOUR, to: NOW };
  assert.deepEqual(zoomed(span, NOW - HOUR, 0.5, NOW), { from: NOW - HOUR, to: NOW - HOUR / 2 });
  assert.deepEqual(zoomed(span, NOW - HOUR / 2, 0.5, NOW), { from: NOW - 0.75 * HOUR, to: NOW - 0.25 * HOUR });
});

test("nobody zooms to nothing, nor beyond what is kept", () => {
  const small = zoomed(ending(NOW, 6 * SECOND), NOW - 3 * SECOND, 0.01, NOW);
  assert.equal(small.to - small.from, 5 * SECOND);
  const large = zoomed(ending(NOW, 900 * DAY), NOW, 100, NOW);
  assert.equal(large.to - large.from, 3 * 365 * DAY);
});

test("the future is shown by a tenth at most", () => {
  assert.deepEqual(moved({ from: NOW - HOUR, to: NOW }, 5, NOW), { from: NOW - 0.9 * HOUR, to: NOW + 0.1 * HOUR });
  assert.deepEqual(held({ from: NOW - HOUR, to: NOW }, NOW), { from: NOW - HOUR, to: NOW });
});

test("as many points as pixels, within reason", () => {
  assert.deepEqual([0, 812.4, 99_999].map(pointsFor), [100, 812, 4_000]);
});

test("long pictures are asked for less often", () => {
  assert.equal(refreshEvery(ending(NOW, 5 * MINUTE)), 5 * SECOND);
  assert.equal(refreshEvery(ending(NOW, DAY)), 288 * SECOND);
  assert.equal(refreshEvery(ending(NOW, 365 * DAY)), 5 * MINUTE);
});

test("an unknown range is the first", () => {
  assert.equal(rangeOf("nonsense").key, "5min");
  assert.equal(rangeOf("7d").ms, 7 * DAY);
});

import { test } from "node:test";
import assert from "node:assert/strict";
import { align, append, fromSeries, joinedMs, latest, summary, trim } from "../src/columns.ts";

const of = (...values: (number | null)[]) =>
  fromSeries({ channel: "c", quantity: "other", unit: "", time_ms: values.map((_, i) => i * 1_000), min: values, max: values, mean: values, score: null });

test("live readings go behind the others, each once", () => {
  const columns = of(1, 2);
  assert.equal(append(columns, 2_000, 3, 0.5, 2_500), true);
  assert.equal(append(columns, 2_000, 3, 0.5, 2_500), false);
  assert.equal(append(columns, 1_500, 9, null, 2_500), false);
  assert.deepEqual(columns, { time: [0, 1_000, 2_000], min: [1, 2, 3], max: [1, 2, 3], mean: [1, 2, 3], score: [null, null, 0.5] });
});

test("a long pause is a gap, not a line across it, and one missed reading is none", () => {
  const columns = of(1);
  append(columns, 2_000, 2, null, 2_500);
  append(columns, 5_000, 3, null, 2_500);
  assert.deepEqual([columns.time, columns.mean], [[0, 2_000, 3_500, 5_000], [1, 2, null, 3]]);
});

test("a pause is long where two readings are missing, or two of the picture's points", () => {
  assert.equal(joinedMs(60_000, 1_000, 1_000), 2_500);
  assert.equal(joinedMs(3_600_000, 1_000, 1_000), 9_002.5);
});

test("what is long past is forgotten, but for the entry from which the line comes in", () => {
  const columns = of(1, 2, 3, 4);
  trim(columns, 2_500);
  assert.deepEqual(columns.time, [2_000, 3_000]);
  trim(columns, 99_000);
  assert.deepEqual(columns.time, [3_000]);
});

test("the newest value is the last that there is", () => {
  assert.deepEqual(latest(of(1, 2, null)), { time: 1_000, value: 2 });
  assert.equal(latest(of(null)), null);
});

test("lines of different times stand on one axis, and a missing entry is no gap", () => {
  const joined = align([{ time: [1, 3], columns: [[10, null]] }, { time: [2, 3], columns: [[20, 30]] }]);
  assert.deepEqual(joined.time, [1, 2, 3]);
  assert.deepEqual(joined.columns, [[[10, undefined, null]], [[undefined, 20, 30]]]);
});

test("a gap of one line lasts through the entries of another", () => {
  const joined = align([{ time: [1, 2, 9], columns: [[10, null, 11]] }, { time: [1, 3, 5, 9], columns: [[1, 2, 3, 4]] }]);
  assert.deepEqual(joined.columns[0], [[10, null, null, null, 11]]);
});

test("a series without scores has none", () => {
  const columns = fromSeries({ channel: "c", quantity: "other", unit: "", time_ms: [1], min: [1], max: [1], mean: [1], score: null });
  assert.deepEqual(columns.score, [null]);
});

test("a chart in figures counts stretches without data, not entries", () => {
  assert.deepEqual(summary(of(1, null, null, 3), 0, 9_000), { least: 1, greatest: 3, mean: 2, gaps: 1 });
  assert.equal(summary(of(1), 5_000, 9_000), null);
});

import { test } from "node:test";
import assert from "node:assert/strict";
import { byTrouble, isStale, lastSeen, says, shownState, tally } from "../src/trouble.ts";
import type { Tile, TileState } from "../src/types.ts";

const NOW = 1_000_000_000;

const tile = (agent: string, state: TileState, age_ms = 500): Tile => ({
  agent, locations: ["Nacelle"], online: true, seen_ms: NOW - age_ms, state, open: [], open_count: 0, waiting: 0, spool_error: "", failing: [],
  wind: { device: "a", channel: "speed", value: 8, unit: "m/s", time_ms: NOW - age_ms }, spark: null,
});

test("the worst come first, then by name as people count", () => {
  const list = [tile("t-10", "well"), tile("t-9", "well"), tile("x", "new"), tile("f", "failing"), tile("w", "warning"), tile("s", "silent"), tile("c", "critical")]
    .map((one) => ({ tile: one, shown: shownState(one, NOW, 1_000) }));
  assert.deepEqual(list.sort(byTrouble).map((one) => one.tile.agent), ["c", "s", "w", "f", "x", "t-9", "t-10"]);
});

test("a turbine with old data is never shown as well", () => {
  assert.equal(shownState(tile("t", "well", 14_000), NOW, 1_000), "well");
  assert.equal(shownState(tile("t", "well", 16_000), NOW, 1_000), "stale");
  assert.equal(shownState({ ...tile("t", "well"), online: false }, NOW, 1_000), "stale");
  assert.equal(shownState({ ...tile("t", "well"), wind: null, seen_ms: null }, NOW, 1_000), "stale");
});

test("a turbine was seen when its wind was read, if that is later", () => {
  assert.equal(lastSeen({ ...tile("t", "well", 20_000), seen_ms: NOW - 30_000 }), NOW - 20_000);
  assert.equal(lastSeen({ ...tile("t", "well", 20_000), seen_ms: NOW - 10_000 }), NOW - 10_000);
  assert.equal(lastSeen({ ...tile("t", "well"), wind: null, seen_ms: null }), null);
});

test("trouble that the sink knows of is not hidden by age", () => {
  assert.equal(shownState(tile("t", "critical", 99_000), NOW, 1_000), "critical");
});

test("slow devices have three of their intervals", () => {
  assert.equal(isStale(NOW - 25_000, NOW, 10_000), false);
  assert.equal(isStale(NOW - 31_000, NOW, 10_000), true);
});

test("turbines are found by name, place and what ails them", () => {
  const sick = { ...tile("t-1", "warning"), open: [{ id: "1", severity: "warning" as const, kind: "iced", device: "a", channel: "speed", evidence: "falls behind", opened_ms: NOW }] };
  assert.equal(says(sick, " ICED"), true);
  assert.equal(says(sick, "nacelle"), true);
  assert.equal(says(sick, "gust"), false);
});

test("states are counted", () => {
  const list = ["well", "well", "silent"].map((state) => ({ tile: tile(state, state as TileState), shown: state as TileState }));
  assert.deepEqual([...tally(list)], [["well", 2], ["silent", 1]]);
});

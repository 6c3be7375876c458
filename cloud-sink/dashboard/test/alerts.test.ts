import { test } from "node:test";
import assert from "node:assert/strict";
import { ALL, byWeight, kindWords, matches, merged, stateWords } from "../src/alerts.ts";
import { clusters, panelsOf, rowsOf, type Source } from "../src/charts/panels.ts";
import { empty } from "../src/columns.ts";
import { alertHref, parse, turbineHref } from "../src/routes.ts";
import type { Alert } from "../src/types.ts";

const alert = (more: Partial<Alert>): Alert => ({
  agent: "t-1", id: "1", location: "Nacelle", device: "a", channel: "speed", kind: "iced", severity: "warning", state: "open", opened_ms: 100, updated_ms: 100,
  cleared_ms: null, value: null, unit: "m/s", wind_speed: null, anomaly_score: null, threshold: null, evidence: "falls behind", notified_ms: null,
  acknowledged_by: null, acknowledged_ms: null, note: null, comments: [], ...more,
});

test("open alerts stand first, then the newest", () => {
  const list = merged([], [alert({ id: "old", opened_ms: 1 }), alert({ id: "ended", state: "cleared", opened_ms: 900 }), alert({ id: "new", opened_ms: 500 })]);
  assert.deepEqual(list.map((one) => one.id), ["new", "old", "ended"]);
});

test("of many, the gravest is told, and of those the newest", () => {
  const list = [alert({ id: "old", severity: "critical", opened_ms: 1 }), alert({ id: "mild", opened_ms: 900 }), alert({ id: "new", severity: "critical", opened_ms: 500 })];
  assert.deepEqual(list.sort(byWeight).map((one) => one.id), ["new", "old", "mild"]);
});

test("an older telling does not undo a newer one", () => {
  const newer = alert({ acknowledged_by: "Jo", acknowledged_ms: 300 });
  assert.deepEqual(merged([newer], [alert({})]), [newer]);
  assert.deepEqual(merged([alert({})], [newer]), [newer]);
});

test("a filter asks for all of what it says", () => {
  assert.equal(matches(alert({}), ALL), true);
  assert.equal(matches(alert({}), { ...ALL, state: "cleared" }), false);
  assert.equal(matches(alert({}), { ...ALL, severity: "warning", kind: "iced", text: "BEHIND" }), true);
  assert.equal(matches(alert({}), { ...ALL, agent: "t-2" }), false);
});

test("kinds and states have words, unknown ones too", () => {
  assert.equal(kindWords("high-wind"), "High wind");
  assert.equal(kindWords("some-new-kind"), "Some new kind");
  assert.equal(stateWords(alert({ acknowledged_by: "Jo" })), "Open, acknowledged");
});

test("addresses hold any name", () => {
  assert.deepEqual(parse(turbineHref("north/7 ä")), { view: "turbine", agent: "north/7 ä" });
  assert.deepEqual(parse(alertHref({ agent: "t", id: "0f" })), { view: "alert", agent: "t", id: "0f" });
  assert.deepEqual(parse("#/nonsense"), { view: "overview" });
  assert.deepEqual(parse("#/turbine/%"), { view: "turbine", agent: "%" });
});

test("alerts at the same time stand below each other", () => {
  const band = (key: string, from: number, to: number | null) => ({ key, from, to, label: key, severity: "warning", href: "" });
  const rows = rowsOf([band("c", 30, null), band("a", 0, 10), band("b", 5, 20)], 100);
  assert.deepEqual(rows.map((row) => row.map((one) => one.key)), [["a", "c"], ["b"]]);
});

test("many short alerts are one bar that counts them, a long one stays by itself", () => {
  const band = (from: number, to: number | null, severity = "warning") => ({ key: `${from}`, from, to, label: "x", severity, href: "" });
  const made = clusters([band(0, 5), band(8, 9, "critical"), band(500, null), band(505, 506)], 0, 1_000, 1_000);
  assert.deepEqual(made.map(({ n, label, severity, from, to }) => [n, label, severity, from, to]),
    [[2, "2 alerts", "critical", 0, 9], [1, "x", "warning", 500, null], [1, "x", "warning", 505, 506]]);
});

test("panels go by quantity, the wind first, the scores last", () => {
  const source = (channel: string, quantity: string, unit: string): Source => ({ key: channel, agent: "t", device: "d", channel, quantity, unit, interval_ms: 1, other: false });
  const sources = [source("temp", "temperature", "°C"), source("one", "wind-speed", "m/s"), source("two", "wind-speed", "m/s"), source("from", "wind-direction", "°")];
  const columns = new Map(sources.map(({ key }) => [key, empty()]));
  columns.get("one")?.score.push(1.2);
  const panels = panelsOf(sources, columns, new Map());
  assert.deepEqual(panels.map((panel) => [panel.key, panel.lines.length]), [["wind-speed m/s", 2], ["wind-direction °", 1], ["temperature °C", 1], ["score", 1]]);
});

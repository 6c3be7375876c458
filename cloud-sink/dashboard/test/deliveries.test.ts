import { test } from "node:test";
import assert from "node:assert/strict";
import { farmSentence, sentences, shares } from "../src/deliveries.ts";
import type { AgentDelivery, Lane } from "../src/types.ts";

const lane = (more: Partial<Lane>): Lane => ({ lane: "readings", epoch: "ff", durable: 1_000, acked: 1_000, waiting: 0, stored: 1_000, holes: [], ...more });
const texts = (one: Lane, online = true) => sentences(one, online).map((said) => said.text);

test("a whole lane says so", () => {
  assert.deepEqual(texts(lane({})), ["Nothing is missing"]);
});

test("what waits is on its way, or will be", () => {
  assert.deepEqual(texts(lane({ waiting: 312, acked: 688 })), ["312 on the turbine's disk, on their way"]);
  assert.deepEqual(texts(lane({ waiting: 312 }), false), ["312 on the turbine's disk, will come when the turbine is heard again"]);
});

test("what is lost says why and which", () => {
  const lost = lane({ holes: [{ from: 4_000, to: 4_039, reason: "power cut", state: "lost" }] });
  assert.deepEqual(sentences(lost, true), [{ tone: "lost", text: "40 lost: power cut", detail: "numbers 4,000 to 4,039" }]);
});

test("many holes are counted, not listed", () => {
  const holes = Array.from({ length: 7 }, (_, i) => ({ from: i * 10, to: i * 10, reason: null, state: "not received" as const }));
  assert.deepEqual(texts(lane({ holes })).slice(4), ["1 not received yet", "and 2 more holes"]);
});

test("the parts of a bar are all that was made", () => {
  const one = lane({ durable: 1_050, acked: 1_000, stored: 10, waiting: 50, holes: [{ from: 11, to: 20, reason: null, state: "not received" }, { from: 30, to: 34, reason: "power cut", state: "lost" }] });
  assert.deepEqual(shares(one).map(({ tone, n }) => [tone, n]), [["well", 985], ["waiting", 50], ["missing", 10], ["lost", 5]]);
});

test("the farm says its worst first", () => {
  const agent = (lanes: Lane[]): AgentDelivery => ({ agent: "t", online: true, seen_ms: 1, lanes, dropped_rows: 0, spool_error: ""});
  assert.equal(farmSentence([agent([lane({})])]).text, "Nothing is missing");
  assert.equal(farmSentence([agent([lane({ waiting: 5 })])]).text, "Nothing is lost; 5 on the turbines' disks, on their way");
  assert.equal(farmSentence([agent([lane({ holes: [{ from: 1, to: 1, reason: "x", state: "lost" }] })])]).text, "1 message lost for good");
});

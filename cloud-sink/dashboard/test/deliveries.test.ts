import { test } from "node:test";
import assert from "node:assert/strict";
import { farmSentence, sentences, shares, wholeUpTo } from "../src/deliveries.ts";
import type { AgentDelivery, Lane } from "../src/types.ts";

const lane = (more: Partial<Lane>): Lane => ({ lane: "readings", epoch: "ff", durable: 1_000, acked: 1_000, waiting: 0, stored: 1_000, holes: [], ...more });
const texts = (one: Lane, online = true) => sentences(one, online).map((said) => said.text);

test("a whole lane says so", () => {
  assert.deepEqual(texts(lane({})), ["Nothing is missing"]);
});

test("what waits is on its way, or will be", () => {
  assert.deepEqual(texts(lane({ waiting: 312, acked: 688, stored: 688 })), ["312 on the turbine's disk, on their way"]);
  assert.deepEqual(texts(lane({ waiting: 312, stored: 688 }), false), ["312 on the turbine's disk, will come when the turbine is heard again"]);
  assert.deepEqual(texts(lane({}), false), ["Nothing that it told of is missing"]);
});

test("what the turbine said to wait waits no longer once it is stored", () => {
  assert.deepEqual(texts(lane({ durable: 1_000, acked: 688, waiting: 312, stored: 1_000 })), ["Nothing is missing"]);
  assert.deepEqual(texts(lane({ durable: 1_000, acked: 688, waiting: 312, stored: 990 })), ["10 on the turbine's disk, on their way"]);
});

test("a lane is whole up to its first hole", () => {
  assert.equal(wholeUpTo(lane({})), 1_000);
  assert.equal(wholeUpTo(lane({ holes: [{ epoch: "ff", from: 11, to: 20, reason: null, state: "not received" }, { epoch: "ff", from: 5, to: 5, reason: "power cut", state: "lost" }] })), 4);
  assert.equal(wholeUpTo(lane({ holes: [{ epoch: "aa", from: 5, to: 5, reason: "power cut", state: "lost" }] })), 1_000);
});

test("what is lost says why and which", () => {
  const lost = lane({ holes: [{ epoch: "ff", from: 4_000, to: 4_039, reason: "power cut", state: "lost" }] });
  assert.deepEqual(sentences(lost, true), [{ tone: "lost", text: "40 lost: power cut", detail: "numbers 4,000 to 4,039" }]);
});

test("many holes are counted, not listed", () => {
  const holes = Array.from({ length: 7 }, (_, i) => ({ epoch: "ff", from: i * 10, to: i * 10, reason: null, state: "not received" as const }));
  assert.deepEqual(texts(lane({ holes })).slice(4), ["1 not received yet", "and 2 more holes"]);
});

test("the parts of a bar are all that was made", () => {
  const one = lane({ durable: 1_050, acked: 1_000, stored: 1_000, waiting: 50, holes: [{ epoch: "ff", from: 11, to: 20, reason: null, state: "not received" }, { epoch: "ff", from: 30, to: 34, reason: "power cut", state: "lost" }] });
  assert.deepEqual(shares(one).map(({ tone, n }) => [tone, n]), [["well", 985], ["waiting", 50], ["missing", 10], ["lost", 5]]);
});

test("the farm says its worst first", () => {
  const agent = (lanes: Lane[], online = true): AgentDelivery => ({ agent: "t", online, seen_ms: 1, lanes, dropped_rows: 0, spool_error: "" });
  assert.equal(farmSentence([agent([lane({})])]).text, "Nothing is missing");
  assert.equal(farmSentence([agent([lane({ durable: 1_005, waiting: 5 })])]).text, "Nothing is lost; 5 on the turbines' disks, on their way");
  assert.deepEqual(farmSentence([agent([lane({})], false), agent([lane({})])]), { tone: "waiting", text: "Nothing is lost; 1 turbine not heard, keeps what is read on disk" });
  assert.equal(farmSentence([agent([lane({ holes: [{ epoch: "ff", from: 1, to: 1, reason: "x", state: "lost" }] })])]).text, "1 message lost for good");
});

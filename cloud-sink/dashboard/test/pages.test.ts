import { test } from "node:test";
import assert from "node:assert/strict";

// What the browser gives, before the module asks for it.
Object.assign(globalThis, { document: { hidden: false }, BroadcastChannel: class {} });
const { REST_AFTER_MS, yields } = await import("../src/pages.ts");

const word = { event: "hello", data: "{}" };

test("a page that nobody looks at yields to one that somebody does, after a while", () => {
  const seen = { ...word, from: 0.9, hidden: false };
  assert.equal(yields(0.1, REST_AFTER_MS, seen), true);
  assert.equal(yields(0.1, REST_AFTER_MS - 1, seen), false);
  assert.equal(yields(0.1, Infinity, seen), true);
});

test("of two that nobody looks at exactly one yields", () => {
  const [a, b] = [0.2, 0.7];
  assert.equal(yields(a, REST_AFTER_MS, { ...word, from: b, hidden: true }), false);
  assert.equal(yields(b, REST_AFTER_MS, { ...word, from: a, hidden: true }), true);
});

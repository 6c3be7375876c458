import { test } from "node:test";
import assert from "node:assert/strict";
import { path, topOf } from "../src/charts/spark.ts";
import { csv, designTurbulence, sorted } from "../src/windows.ts";
import type { StatsWindow } from "../src/types.ts";

const row = (start_ms: number, mean: number | null): StatsWindow => ({
  start_ms, window_ms: 600_000, unit: "m/s", n: 600, due: 600, availability: 1, mean, min: 1, max: 9, std: 0.5, turbulence: null, gust_3s: null,
});

test("windows without a figure come last, whichever way", () => {
  const rows = [row(1, null), row(2, 5), row(3, 7)];
  assert.deepEqual(sorted(rows, { by: "mean", down: true }).map((one) => one.start_ms), [3, 2, 1]);
  assert.deepEqual(sorted(rows, { by: "mean", down: false }).map((one) => one.start_ms), [2, 3, 1]);
});

test("a file of windows is in UTC, and its cells are kept apart", () => {
  const lines = csv([{ ...row(0, 5), unit: 'a,"b"' }]).split("\r\n");
  assert.equal(lines[0], "start,window_ms,n,due,availability,mean,min,max,std,turbulence,gust_3s,unit");
  assert.equal(lines[1], '1970-01-01T00:00:00.000Z,600000,600,600,1,5,1,9,0.5,,,"a,""b"""');
  assert.equal(lines.length, 3);
});

test("at 15 m/s the design turbulence is near its reference", () => {
  assert.ok(Math.abs(designTurbulence(0.16, 15) - 0.1797) < 1e-4);
  assert.ok(designTurbulence(0.16, 5) > designTurbulence(0.16, 25));
});

test("a sparkline breaks where nothing was read, and a lone value is seen", () => {
  const drawn = path([0, 10, null, 5], 10);
  assert.equal(drawn.match(/M/g)?.length, 2);
  assert.ok(drawn.endsWith("h1"));
  assert.equal(topOf([{ from_ms: 0, step_ms: 1, mean: [3, null, 21] }, null]), 25);
});

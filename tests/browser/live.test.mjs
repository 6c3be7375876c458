// Readings come to the page as they are read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, figure, View } from "./rig.mjs";

let farm, chromium;
around((given) => ({ farm, chromium } = given));

/** Runs in the page: notes every reading that the stream brings, and when the table of what is read now shows one as new. */
function watchReadings() {
  window.readings = [];
  const waiting = [];
  const Own = window.EventSource;
  window.EventSource = class extends Own {
    constructor(...given) {
      super(...given);
      this.addEventListener("readings", (event) => waiting.push(...JSON.parse(event.data).rows.map((row) => row.time_ms)));
    }
  };
  const look = () => {
    const shown = document.querySelector("table.now tbody time");
    const newest = shown ? Date.parse(shown.dateTime) : 0;
    const seen = waiting.filter((time_ms) => time_ms <= newest);
    if (!seen.length) return;
    waiting.splice(0, waiting.length, ...waiting.filter((time_ms) => time_ms > newest));
    // After the frame that shows it was painted.
    requestAnimationFrame(() => setTimeout(() => {
      const at = Date.now();
      window.readings.push(...seen.map((time_ms) => ({ time_ms, late_ms: at - time_ms })));
    }));
  };
  addEventListener("DOMContentLoaded", () =>
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true }));
}

test("a reading is on the page within a second of being read", async () => {
  const view = await View.open(chromium, farm.address, { before: watchReadings });
  await view.go("#/turbine/turbine-1", ".uplot");
  const readings = await eventually("fifty readings on the page", async () => {
    const seen = await view.page.evaluate(() => window.readings);
    return seen.length >= 50 && seen;
  });
  // Not one of them is missing: the device is read every 200 ms.
  const steps = readings.slice(1).map((reading, index) => reading.time_ms - readings[index].time_ms);
  assert.ok(Math.max(...steps) < 400 && Math.min(...steps) > 0, `${steps}`);
  const median = figure("sensor to page", readings.map((reading) => reading.late_ms));
  assert.ok(median <= 1_000, `${median} ms`);
  await view.close();
});

test("the chart moves by itself, and asks nothing for it", async () => {
  const view = await View.open(chromium, farm.address);
  await view.go("#/turbine/turbine-2", ".uplot");
  const { page } = view;
  const words = () => page.locator(".span-words").textContent();
  const picture = () => page.locator(".uplot canvas").first().evaluate((canvas) => canvas.toDataURL());
  const summary = () => page.locator(".panel .unseen").first().textContent();
  await eventually("the series is drawn", async () => /from .* to/.test(await summary()));
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  const before = { words: await words(), picture: await picture(), summary: await summary() };
  await eventually("the time shown moves", async () => (await words()) !== before.words);
  await eventually("the picture changes", async () => (await picture()) !== before.picture);
  await eventually("what is said of it changes", async () => (await summary()) !== before.summary);
  assert.deepEqual(asked, []);
  await page.getByRole("button", { name: "Live: pause" }).click();
  const paused = await words();
  await eventually("readings go on to come", async () => {
    const seen = await page.locator("table.now tbody time").first().getAttribute("datetime");
    return Date.parse(seen) > Date.now() - 2_000;
  });
  assert.equal(await words(), paused);
  await view.close();
});

test("two turbines are compared on one axis, both live", async () => {
  const view = await View.open(chromium, farm.address);
  await view.go("#/turbine/turbine-1", ".uplot");
  const { page } = view;
  const lines = () => page.locator("details.values tbody tr").evaluateAll((rows) => rows.map((row) => row.cells[0].textContent + " " + row.cells[2].textContent));
  await page.getByLabel(/Add a turbine/).selectOption("turbine-3");
  const other = async () => (await lines()).find((line) => /turbine-3/.test(line));
  const before = await eventually("the other turbine has a line", other);
  await eventually("its line goes on", async () => (await other()) !== before);
  assert.equal(await page.locator(".connection").getAttribute("class"), "connection live");
  await view.close();
});

// The link is cut: turbines fall silent, keep everything on disk, and nothing is missing when it is back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, View } from "./rig.mjs";

/** How long the link is cut, ms: some thirty blocks of a turbine. */
const CUT_MS = 8_000;
/** How often a turbine is read, ms. */
const INTERVAL_MS = 200;

let farm, chromium;
around((given) => ({ farm, chromium } = given));

const readingsLanes = async () => (await farm.ask("delivery")).agents.map(({ lanes }) => lanes.find(({ lane }) => lane === "readings"));

test("a cut link: silent turbines, a backlog, then everything", async () => {
  const overview = await View.open(chromium, farm.address);
  const chart = await View.open(chromium, farm.address);
  const delivery = await View.open(chromium, farm.address);
  await chart.go("#/turbine/turbine-1", ".uplot");
  await delivery.go("#/delivery", "li.delivery");
  const { page } = overview;
  await eventually("three turbines that are well", async () => (await page.locator("li.tile .badge.well").count()) === 3);
  const before = await readingsLanes();

  const cut = Date.now();
  await page.getByRole("button", { name: "cut the link" }).click();
  await page.getByRole("button", { name: "restore the link" }).waitFor();
  await eventually("three silent turbines", async () => (await page.locator("li.tile .badge.silent").count()) === 3);
  console.log(`FIGURE link cut to silent on the page: ${Date.now() - cut} ms`);
  await page.getByText("3 silent").waitFor();
  await chart.page.locator(".head .badge.silent").waitFor();
  await eventually("the delivery view says who is not heard", async () => (await delivery.page.getByText("not heard, last").count()) === 3);
  await delivery.page.getByText("Nothing is lost; 3 turbines not heard, keep what is read on disk").waitFor();
  await eventually("the cut has lasted", () => Date.now() - cut > CUT_MS);

  const restored = Date.now();
  await page.getByRole("button", { name: "restore the link" }).click();
  await page.getByRole("button", { name: "cut the link" }).waitFor();
  await eventually("the turbines are well again", async () => (await page.locator("li.tile .badge.well").count()) === 3, 60_000);
  console.log(`FIGURE link restored to well on the page: ${Date.now() - restored} ms`);
  const backlog = (await readingsLanes()).reduce((sum, lane) => sum + lane.waiting, 0);
  console.log(`FIGURE on the turbines' disks when the link was back: ${backlog} messages`);
  assert.ok(backlog > 0);
  await eventually("everything from before is stored", async () =>
    (await readingsLanes()).every((lane, index) => lane.stored >= before[index].stored + CUT_MS / 1_000 && lane.holes.length === 0), 60_000);
  await delivery.page.locator(".head .sentence.well", { hasText: /^Nothing is missing/ }).waitFor();

  await nothingIsMissing(cut - 2_000, restored + 2_000);
  // What was read late, on a busy machine, is a gap in either.
  const anew = await View.open(chromium, farm.address);
  await anew.go("#/turbine/turbine-1", ".uplot");
  await eventually("no gap in the chart that was open all the time", async () => (await gapsIn(chart)) <= (await gapsIn(anew)));
  for (const view of [overview, chart, delivery, anew]) await view.close();
});

/** How many gaps a chart says it has. */
async function gapsIn({ page }) {
  const words = await page.locator(".panel .unseen").first().textContent();
  assert.match(words, /from .* to/);
  return Number(/(\d+) gaps?/.exec(words)?.[1] ?? 0);
}

/** Between two times each turbine has a row for every poll, but for some that a busy machine was late for, its device's counts come once each, and its picture has no hole. */
async function nothingIsMissing(from, to) {
  for (const agent of ["turbine-1", "turbine-2", "turbine-3"]) {
    const { rows } = await farm.ask(`readings?agent=${agent}&device=nacelle&from=${from}&to=${to}&limit=10000`);
    const steps = rows.slice(1).map((row, index) => row.time_ms - rows[index].time_ms);
    assert.ok(rows.length >= (0.9 * (to - from)) / INTERVAL_MS - 3 && Math.max(...steps) < CUT_MS / 4, `${agent}: ${rows.length} rows, ${steps}`);
    const counts = rows.flatMap(({ values }) => values.sequence ?? []);
    // An answer that came too late, on a busy machine, was counted by the device, and its row says so.
    const late = rows.length - counts.length;
    assert.ok(late < rows.length / 10, `${agent}: ${late} of ${rows.length} polls had no answer`);
    assert.ok(counts.every((count, index) => index === 0 || count > counts[index - 1]), `${agent}: ${counts}`);
    assert.ok(counts.at(-1) - counts[0] < rows.length + late, `${agent}: ${counts}`);
    const { channels } = await farm.ask(`series?agent=${agent}&device=nacelle&channel=wind&from=${from}&to=${to}&points=10000`);
    const pauses = steps.filter((ms) => ms > 2 * INTERVAL_MS).length;
    const holes = channels[0].mean.filter((value) => value === null).length;
    assert.ok(holes <= late + pauses, `${agent}: ${holes} holes for ${late} late answers and ${pauses} late polls`);
  }
}

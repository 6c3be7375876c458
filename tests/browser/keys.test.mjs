// The page by keyboard alone, and what a pointer does in the charts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, View } from "./rig.mjs";

let farm, chromium;
around(async (given) => {
  ({ farm, chromium } = given);
  await farm.raise("spike", 2);
  await eventually("an alert", async () => (await farm.ask("alerts")).alerts.length > 0);
});

const at = (view) => new URL(view.page.url()).hash;
const focused = (page) => page.evaluate(() => document.activeElement?.textContent?.trim() ?? "");

test("from the overview to an acknowledged alert without a pointer", async () => {
  const view = await View.open(chromium, farm.address);
  const { page } = view;
  const { keyboard } = page;
  await page.waitForSelector("li.tile");
  await keyboard.press("Tab");
  assert.equal(await focused(page), "To the content");
  await keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await keyboard.press("j");
  const first = await focused(page);
  await keyboard.press("ArrowRight");
  assert.notEqual(await focused(page), first);
  await keyboard.press("k");
  await keyboard.press("Enter");
  await eventually("the turbine's view", () => at(view) === `#/turbine/${first}`);
  await keyboard.press("g");
  await keyboard.press("a");
  await page.waitForSelector("li.alert");
  await keyboard.press("j");
  await keyboard.press("a");
  await eventually("the form has the focus", () => page.evaluate(() => document.activeElement?.closest(".talk") !== null));
  await keyboard.type("Ana");
  await keyboard.press("Tab");
  await keyboard.type("Seen from the nacelle");
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await page.locator(".said", { hasText: /Ana acknowledged it .*: Seen from the nacelle/ }).waitFor();
  await view.close();
});

test("search, help and views by key, and focus is seen", async () => {
  const view = await View.open(chromium, farm.address);
  const { page } = view;
  const { keyboard } = page;
  await page.waitForSelector("li.tile");
  await keyboard.press("?");
  await page.locator("dialog[open]", { hasText: "Acknowledge the alert" }).waitFor();
  await keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  await keyboard.press("/");
  await page.waitForSelector("dialog[open] input:focus");
  await keyboard.type("turbine-3");
  await page.locator("dialog[open] .hits", { hasText: "turbine-3" }).waitFor();
  await keyboard.press("Enter");
  await eventually("the turbine's view", () => at(view) === "#/turbine/turbine-3");
  for (const [letter, hash] of [["d", "#/delivery"], ["s", "#/statistics"], ["o", "#/"]]) {
    await keyboard.press("g");
    await keyboard.press(letter);
    await eventually(`g ${letter}`, () => at(view) === hash);
  }
  await page.locator("h1").click();
  for (let turn = 0; turn < 12; turn += 1) {
    await keyboard.press("Tab");
    // A tile has the ring of its link.
    const ring = await page.evaluate(() => {
      const shown = document.activeElement.closest("li.tile") ?? document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(shown);
      return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || shown.outerHTML;
    });
    assert.equal(ring, true, `after ${turn + 1} times Tab`);
  }
  await view.close();
});

test("who is on a tile stays on it while tiles are sorted anew", async () => {
  // As in a browser that cannot move an element without taking the focus from it.
  const view = await View.open(chromium, farm.address, { before: () => delete Element.prototype.moveBefore });
  const { page } = view;
  await page.getByRole("link", { name: "turbine-3" }).focus();
  const place = () => page.locator("li.tile h2").evaluateAll((all) => all.findIndex((name) => name.textContent === "turbine-3"));
  const before = await place();
  await farm.raise("dropout", 3);
  await eventually("it passes another", async () => (await place()) < before);
  assert.equal(await focused(page), "turbine-3");

  // Who is on the filter of a state that no turbine is in any more is left with the first of the filters.
  const filter = page.getByRole("group", { name: "Filter by state" }).getByRole("button", { name: /^Warning/ });
  await filter.focus();
  await filter.waitFor({ state: "detached" });
  assert.match(await focused(page), /^All/);
  await view.close();
});

test("a chart is zoomed, moved and brought back by keys and by pointer", async () => {
  const view = await View.open(chromium, farm.address);
  await view.go("#/turbine/turbine-1", ".uplot");
  const { page } = view;
  const { keyboard, mouse } = page;
  const words = () => page.locator(".span-words").textContent();
  const live = () => page.locator("button.live").getAttribute("aria-pressed");
  const changes = async (what, act) => {
    const before = await words();
    await act();
    await eventually(what, async () => (await words()) !== before);
    assert.equal(await live(), "false", what);
  };
  const chart = page.locator("[data-chart]");
  await chart.focus();
  await changes("moved by an arrow", () => keyboard.press("ArrowLeft"));
  await changes("zoomed by a sign", () => keyboard.press("-"));
  await keyboard.press("Home");
  await eventually("live again", async () => (await live()) === "true");

  const box = await page.locator(".u-over").first().boundingBox();
  const drag = async (from, to) => {
    await mouse.move(box.x + from, box.y + 60);
    await mouse.down();
    await mouse.move(box.x + to, box.y + 70, { steps: 5 });
    await mouse.up();
  };
  await changes("zoomed by a drag", () => drag(box.width - 200, box.width - 50));
  await eventually("what stands under the pointer is read out", async () => /wind \d/.test(await page.locator(".readout").first().textContent()));
  await changes("zoomed out by the wheel", () => mouse.wheel(0, 300));
  await changes("moved with shift", async () => {
    await keyboard.down("Shift");
    await drag(100, 300);
    await keyboard.up("Shift");
  });
  for (const range of ["1 h", "24 h", "7 d", "30 d", "1 y", "5 min"]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    await page.locator(".busy.on").waitFor({ state: "detached" });
    assert.equal(await page.getByRole("button", { name: range, exact: true }).getAttribute("aria-pressed"), "true");
  }
  await view.close();
});

test("fingers move and zoom a chart, and scroll the page", async () => {
  const view = await View.open(chromium, farm.address, { size: "phone" });
  await view.go("#/turbine/turbine-1", ".uplot");
  const { page } = view;
  const words = () => page.locator(".span-words").textContent();
  const fingers = await view.context.newCDPSession(page);
  const touch = (type, ...points) => fingers.send("Input.dispatchTouchEvent", { type, touchPoints: points.map((x, id) => ({ x, y, id })) });
  await page.locator(".panel").first().scrollIntoViewIfNeeded();
  const box = await page.locator(".u-over").first().boundingBox();
  const y = box.y + 60;
  const before = await words();
  await touch("touchStart", box.x + 60);
  for (let step = 1; step < 8; step += 1) await touch("touchMove", box.x + 60 + step * 12);
  await touch("touchEnd");
  await eventually("moved by a finger", async () => (await words()) !== before);
  const moved = await words();
  await touch("touchStart", box.x + 90, box.x + 120);
  for (let step = 1; step < 8; step += 1) await touch("touchMove", box.x + 90 - step * 8, box.x + 120 + step * 8);
  await touch("touchEnd");
  await eventually("zoomed by two", async () => (await words()) !== moved);
  await view.close();
});

test("units, times and theme are kept", async () => {
  const view = await View.open(chromium, farm.address);
  const { page } = view;
  await page.locator("li.tile .wind-now", { hasText: "m/s" }).first().waitFor();
  await page.locator(".settings summary").click();
  for (const choice of ["knots", "UTC", "dark"]) await page.getByRole("button", { name: choice, exact: true }).click();
  await page.keyboard.press("Escape");
  const kept = async () => {
    await page.locator("li.tile .wind-now", { hasText: "knots" }).first().waitFor();
    await page.locator(".clock", { hasText: "UTC" }).waitFor();
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  };
  const colour = await kept();
  await page.reload();
  assert.equal(await kept(), colour);
  await view.close();
});

// Every view, light and dark, on a desktop and a phone: a picture of it, nothing beyond its edges, no barrier.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, SIZES, View } from "./rig.mjs";

/** Least side of what a finger is to meet, px (WCAG 2.2, 2.5.8); links within a sentence may be lower. */
const TARGET_PX = 24;

let farm, chromium, gust;
around(async (given) => {
  ({ farm, chromium } = given);
  for (const [fault, turbine] of [["gust", 1], ["dropout", 2], ["spike", 3]]) await farm.raise(fault, turbine);
  await farm.publish("windward/v1/turbine-2/readings", Buffer.from("\x07not ours"));
  await eventually("the faults are told", async () => {
    const told = (await farm.ask("alerts")).alerts.map(({ kind }) => kind);
    return told.includes("no-data") && told.includes("spike");
  });
  gust = await eventually("the gust is told", async () => (await farm.ask("alerts?agent=turbine-1")).alerts.at(-1));
});

const key = (pressed) => async ({ page }) => page.keyboard.press(pressed);

/** Name, address, what is there when the view is, and what to do then. */
const views = () => [
  ["overview", "#/", "li.tile"],
  ["turbine", "#/turbine/turbine-1", ".uplot", ({ page }) => page.waitForSelector("table.now tbody time")],
  ["alerts", "#/alerts", "li.alert"],
  ["alert", `#/alert/${gust.agent}/${gust.id}`, ".picture .uplot"],
  ["delivery", "#/delivery", "li.delivery .shares", ({ page }) => page.getByText("Refused messages").waitFor()],
  ["statistics", "#/statistics", ".turbulence svg"],
  ["help", "#/", "li.tile", key("?"), "dialog[open]"],
  ["search", "#/", "li.tile", key("/"), "dialog[open]"],
  ["settings", "#/", "li.tile", ({ page }) => page.locator(".settings summary").click(), "details.settings[open]"],
];

/** Runs in the page: what a finger would miss. */
function smallTargets(least_px) {
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest(".unseen, .skip");
  const isWords = (element) => element.tagName === "A" && getComputedStyle(element).display === "inline";
  return [...document.querySelectorAll("a, button, select, input, summary, textarea")].filter((element) => isShown(element) && !isWords(element)).flatMap((element) => {
    // A tick's words are as good as the tick.
    const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
    return Math.min(width, height) < least_px ? [`${element.outerHTML.slice(0, 80)} is ${Math.round(width)} × ${Math.round(height)} px`] : [];
  });
}

test("what looks for faults of a page finds them", async () => {
  const view = await View.open(chromium, farm.address, { size: "phone" });
  await view.page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "1";
    const button = document.createElement("button");
    button.style.cssText = "min-width: 700px; height: 9px; min-height: 0; padding: 0; display: block";
    document.querySelector("main").append(script, button);
  });
  assert.deepEqual((await view.barriers()).filter((text) => /^button-name/.test(text)).length, 1);
  assert.equal((await view.page.evaluate(smallTargets, TARGET_PX)).length, 1);
  assert.ok(await view.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth));
  // The browser's own words, and the rig's.
  await view.meant(/script-src/, 2);
  await view.close();
});

for (const size of Object.keys(SIZES)) {
  for (const theme of ["light", "dark"]) {
    test(`every view, ${theme}, ${size}`, async () => {
      const view = await View.open(chromium, farm.address, { theme, size });
      const found = [];
      for (const [name, hash, until, act, then] of views()) {
        await view.go(hash, until);
        if (act) await act(view);
        if (then) await view.page.waitForSelector(then);
        await view.page.locator(".busy.on").waitFor({ state: "detached" });
        await view.screenshot(`${name}-${theme}-${size}`, { fullPage: !then?.includes("[open]") });
        const wide = await view.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) found.push(`${name} is ${wide} px wider than the screen`);
        if (size === "phone") found.push(...(await view.page.evaluate(smallTargets, TARGET_PX)).map((text) => `${name}: ${text}`));
        found.push(...(await view.barriers()).map((text) => `${name}: ${text}`));
        await view.page.keyboard.press("Escape");
      }
      assert.deepEqual(found, []);
      await view.close();
    });
  }
}

// Faults that are raised with the page's own buttons become alerts on the page, and people see to them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, figure, View } from "./rig.mjs";

let farm, chromium;
around((given) => ({ farm, chromium } = given));

async function press(page, fault, turbine) {
  const panel = page.getByRole("region", { name: "Simulated farm" });
  await panel.getByLabel("Turbine").selectOption(String(turbine));
  await panel.getByRole("button", { name: fault, exact: true }).click();
  await panel.getByText(`Turbine ${turbine}:`).waitFor();
}

// Where readings come too late, as on a machine with too much to do, a gust is a jump and told as spikes.
const TOLD = /gust|spikes/i;

/** The first alert of the gust at turbine 2. */
const ofTheGust = async () => (await farm.ask("alerts?agent=turbine-2")).alerts.findLast(({ kind }) => kind === "gust" || kind === "spike");

/** Runs in the page: notes when each alert is first listed. */
function watchAlerts() {
  window.listed = {};
  const look = () => {
    for (const { hash } of document.querySelectorAll("a[data-alert]")) {
      if (window.listed[hash] !== undefined) continue;
      window.listed[hash] = 0;
      // After the frame that shows it was painted.
      requestAnimationFrame(() => setTimeout(() => (window.listed[hash] = Date.now())));
    }
  };
  addEventListener("DOMContentLoaded", () => new MutationObserver(look).observe(document.body, { subtree: true, childList: true }));
}

test("a gust, raised with the page's button, is an alert on every view", async () => {
  const view = await View.open(chromium, farm.address);
  const { page } = view;
  const tile = page.locator("li.tile", { has: page.getByRole("link", { name: "turbine-2" }) });
  await tile.locator(".badge.well").waitFor();
  await press(page, "gust", 2);
  await tile.locator(".badge.critical, .badge.warning").waitFor();
  await tile.locator(".tile-words", { hasText: TOLD }).waitFor();
  assert.equal(await page.locator("li.tile").first().getByRole("link").textContent(), "turbine-2", "the one in trouble comes first");
  await page.getByRole("link", { name: /^Alerts/ }).locator(".count").waitFor();
  await eventually("the title counts it", async () => /^\(\d+, new\) Windward/.test(await page.title()));
  assert.match(await page.locator("[aria-live=polite].unseen").textContent(), TOLD, "it is told to who listens");
  await view.go("#/alerts", "li.alert.fresh");
  await page.locator("li.alert.fresh", { hasText: "turbine-2" }).getByRole("link").first().click();
  await page.getByRole("heading", { name: TOLD }).waitFor();
  await page.locator(".picture .uplot").first().waitFor();
  await view.go("#/turbine/turbine-2", ".lane-bar, .uplot");
  await page.locator(".lane-bar").first().waitFor();
  await view.close();
});

test("an alert is listed within a second of being opened", async () => {
  const buttons = await View.open(chromium, farm.address);
  const list = await View.open(chromium, farm.address, { before: watchAlerts });
  await list.go("#/alerts", "h1");
  const begin = Date.now();
  for (const fault of ["spike", "dropout", "gust"]) for (const turbine of [1, 2, 3]) await press(buttons.page, fault, turbine);
  const delays = await eventually("five alerts", async () => {
    const listed = await list.page.evaluate(() => window.listed);
    const { alerts } = await farm.ask("alerts");
    const shown = alerts.filter((alert) => alert.opened_ms >= begin && listed[`#/alert/${alert.agent}/${alert.id}`]);
    return shown.length >= 5 && shown.map((alert) => listed[`#/alert/${alert.agent}/${alert.id}`] - alert.opened_ms);
  }, 60_000);
  const median = figure("alert opened to listed", delays);
  assert.ok(median <= 1_000, `${median} ms`);
  await buttons.close();
  await list.close();
});

test("who acknowledges, and why, is there after a reload and on other pages", async () => {
  const alert = await eventually("the gust's alert", ofTheGust);
  const here = `#/alert/turbine-2/${alert.id}`;
  const other = await View.open(chromium, farm.address);
  await other.go(here, ".talk");
  const view = await View.open(chromium, farm.address);
  await view.go(here, ".talk");
  const { page } = view;
  assert.ok(await page.getByRole("button", { name: "Acknowledge" }).isDisabled(), "without a name nobody acknowledges");
  await page.getByLabel("Your name").fill("Jo");
  await page.getByLabel("Note or comment").fill("On my way with a spare anemometer");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  const said = /Jo acknowledged it .*: On my way with a spare anemometer/;
  await page.locator(".said", { hasText: said }).waitFor();
  await other.page.locator(".said", { hasText: said }).waitFor();
  await page.getByLabel("Comment").fill("The cups turn freely");
  await page.getByRole("button", { name: "Comment", exact: true }).click();
  await page.locator(".comments li", { hasText: "The cups turn freely" }).waitFor();
  await page.reload();
  await page.locator(".said", { hasText: said }).waitFor();
  await page.locator(".comments li", { hasText: "The cups turn freely" }).waitFor();
  assert.equal(await page.getByLabel("Your name").inputValue(), "Jo", "and the page knows who it is");
  const { acknowledged_by, note, comments } = await farm.ask(`alerts/turbine-2/${alert.id}`);
  assert.deepEqual([acknowledged_by, note, comments.map(({ by, text }) => [by, text])],
    ["Jo", "On my way with a spare anemometer", [["Jo", "The cups turn freely"]]]);
  await view.close();
  await other.close();
});

test("the list is filtered", async () => {
  const view = await View.open(chromium, farm.address);
  await view.go("#/alerts", "li.alert");
  const { page } = view;
  const { kind } = await ofTheGust();
  await page.getByRole("combobox", { name: "Kind", exact: true }).selectOption(kind);
  await page.getByRole("combobox", { name: "Turbine", exact: true }).selectOption("turbine-2");
  await eventually("only turbine 2's", async () => {
    const words = await page.locator("li.alert").allTextContents();
    return words.length > 0 && words.every((text) => TOLD.test(text) && text.includes("turbine-2"));
  });
  await page.getByRole("searchbox", { name: "Text" }).fill("no alert says this");
  await page.getByText("No alert is like this.").waitFor();
  await view.close();
});

test("what the farm cannot do is refused with the reason", async () => {
  const view = await View.open(chromium, farm.address);
  const asked = (what, body) => fetch(`${farm.address}/api/v1/demo/${what}`, { method: "POST", headers: { "content-type": "application/json" }, body });
  for (const [what, body, status, reason] of [
    ["fault", '{"fault":"storm","turbine":1}', 400, /`storm` is no fault; there are gust/],
    ["fault", '{"fault":"gust","turbine":4}', 400, /`4` is no turbine; there are 1 to 3/],
    ["fault", '{"fault":"gust","turbine":-1}', 422, /turbine: invalid value/],
    ["fault", '{"fault":"gust"}', 422, /missing field `turbine`/],
    ["fault", '{"fault":', 400, /EOF/],
    ["link", '{"up":"yes"}', 422, /up: invalid type/],
    ["wind", "{}", 404, /there are/],
  ]) {
    const answer = await asked(what, body);
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [status, "application/problem+json"], body);
    assert.match((await answer.json()).detail, reason, body);
  }
  // As the page tells it to who presses a button.
  await view.page.route("**/demo/fault", (route) => route.continue({ postData: '{"fault":"storm","turbine":1}' }));
  await view.page.getByRole("button", { name: "gust", exact: true }).click();
  await view.page.getByText("`storm` is no fault").waitFor();
  await view.meant(/\b400\b/, 2);
  await view.close();
});

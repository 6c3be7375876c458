// The page loses the sink for a while, as a laptop in a tunnel does, and has missed nothing when it is back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { around, eventually, Line, View } from "./rig.mjs";

let farm, chromium;
around((given) => ({ farm, chromium } = given));

/** Cuts the line, lets `happen`, and mends it; gives what the page asks for then. */
async function away(line, view, happen) {
  line.cut();
  await view.page.waitForSelector(".connection.reconnecting");
  await happen();
  const asked = view.page.waitForResponse(/alerts\?state=open/);
  line.mend();
  await view.page.waitForSelector(".connection.live");
  await (await asked).finished();
  // Broken lines are what the browser is meant to complain of.
  view.complaints = view.complaints.filter((text) => !/net::ERR_/.test(text));
}

test("alerts that open while the page hears nothing are told of when it hears again, once", async () => {
  const line = await Line.to(farm.address);
  const view = await View.open(chromium, line.address);
  const { page } = view;
  await away(line, view, async () => {
    for (const turbine of [1, 2]) await farm.raise("icing", turbine);
    await eventually("both are stored", async () => (await farm.ask("alerts?state=open&kind=iced")).alerts.length === 2);
    assert.match(await page.title(), /^Windward/);
  });
  await eventually("the title says that they are new", async () => /^\(\d+, new\)/.test(await page.title()));
  assert.match(await page.locator("[aria-live=polite].unseen").textContent(), /^\d+ new alerts\. .+ at turbine-[12], /);
  await view.go("#/alerts", "li.alert.fresh");
  for (const turbine of ["turbine-1", "turbine-2"]) await page.locator("li.alert.fresh", { hasText: turbine }).first().waitFor();

  // Who has seen them is not told of them again.
  await view.go("#/", "li.tile");
  await eventually("they are seen", async () => /^\(\d+\)/.test(await page.title()));
  await away(line, view, async () => undefined);
  assert.match(await page.title(), /^\(\d+\)/);
  await view.close();
  await line.close();
});

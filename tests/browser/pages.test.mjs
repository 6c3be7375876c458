// Many pages in one browser, which keeps six connections to a sink: those that nobody looks at share the stream of another.
import { test } from "node:test";
import { around, eventually, View } from "./rig.mjs";

/** More than the browser keeps connections. */
const PAGES = 8;

let farm, chromium;
around((given) => ({ farm, chromium } = given));

/** Runs in the page: whether somebody looks is told by the test, for a browser without a screen shows all pages at once. */
function nobodyLooks() {
  let hidden = true;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  window.look = (looks) => {
    hidden = !looks;
    document.dispatchEvent(new Event("visibilitychange"));
  };
}

/** How many streams the sink has. */
async function streams() {
  const answer = await fetch(`${farm.address}/metrics`);
  return Number(/^windward_live_clients (\d+)/m.exec(await answer.text())[1]);
}

/** Whether the page has told of an alert at a turbine, and counts it in its title. */
const tells = (turbine) => async (page) => {
  const said = await page.locator("[aria-live=polite].unseen").textContent();
  return said.includes(turbine) && /^\(\d+, new\)/.test(await page.title());
};
const allTell = async (pages, turbine) => (await Promise.all(pages.map(tells(turbine)))).every(Boolean);

test("pages that nobody looks at live on another's stream, and hear of every alert", async () => {
  const view = await View.open(chromium, farm.address);
  const rest = [];
  while (rest.length < PAGES - 1) rest.push(await view.another({ before: nobodyLooks }));
  for (const page of rest) await page.waitForSelector("li.tile");
  await eventually("one stream for all", async () => (await streams()) === 1);

  await farm.raise("gust", 2);
  await eventually("all tell of the alert", () => allTell(rest, "turbine-2"));

  // Somebody looks at one of them: it has a stream of its own, and readings come.
  const [page] = rest;
  await page.evaluate(() => (location.hash = "#/turbine/turbine-1"));
  await page.evaluate(() => window.look(true));
  await eventually("its own stream", async () => (await streams()) === 2);
  const newest = () => page.locator("table.now tbody time").first().getAttribute("datetime");
  await eventually("readings", async () => Date.parse(await newest()) > Date.now() - 2_000);
  await page.evaluate(() => window.look(false));
  await eventually("it lets go again", async () => (await streams()) === 1);

  // The page that had the stream goes: another takes it, and only one.
  await view.page.close();
  await eventually("a stream again", async () => (await streams()) === 1);
  await farm.raise("gust", 3);
  await eventually("all tell of this one too", () => allTell(rest, "turbine-3"));
  await eventually("and one stream for all", async () => (await streams()) === 1);
  await view.close();
});

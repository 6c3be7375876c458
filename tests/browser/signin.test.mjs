// Who is let in: by a token, and by a company's login on another site.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { beside, browser, eventually, Farm, freePort, told, View } from "./rig.mjs";

const PROGRAM = join(told("WINDWARD_PROGRAMS"), "windward-sink");
const LOGIN = join(told("WINDWARD_PEERS"), "bin/oidc-provider-mock");
assert.ok(existsSync(LOGIN), `there is no ${LOGIN}; tests/run installs it`);

let farm, chromium, address, gust;
const tokens = {}, stops = [];
before(async () => {
  // A farm's store, with an alert in it, shown by a sink that asks who everybody is.
  farm = await Farm.start();
  await farm.raise("gust", 1);
  gust = await eventually("the gust is told", async () => (await farm.ask("alerts")).alerts.find(({ kind }) => kind === "gust"));
  const [port, loginPort] = [await freePort(), await freePort()];
  address = `http://127.0.0.1:${port}`;
  const lines = ["viewer", "operator", "admin"].map((role) => {
    const [token, config] = execFileSync(PROGRAM, ["token", `the ${role}`, "--role", role], { encoding: "utf8" }).split("\n\n");
    tokens[role] = token;
    return config;
  });
  const [config, secret] = [join(farm.data, "sink.toml"), join(farm.data, "secret")];
  writeFileSync(secret, "between us\n", { mode: 0o600 });
  writeFileSync(config, `farm = "simulated"
[mqtt]
host = "127.0.0.1"
port = 1
[store]
sqlite = "${join(farm.data, "farm.db")}"
[http]
listen = "127.0.0.1:${port}"
public = "${address}"
${lines.join("\n")}
[http.oidc]
issuer = "http://localhost:${loginPort}"
client_id = "windward"
client_secret_file = "${secret}"
name = "North Ridge login"
role_claim = "groups"
roles = { crew = "operator" }
`);
  // By its other name, this machine is another site to the browser.
  stops.push(beside(LOGIN, ["--host", "localhost", "--port", String(loginPort)]));
  stops.push(beside(PROGRAM, ["run", "--config", config]));
  await eventually("the sink and the login are up", async () => (await fetch(`${address}/`)).ok && (await fetch(`http://localhost:${loginPort}/`)).ok);
  const headers = { "content-type": "application/json" };
  await fetch(`http://localhost:${loginPort}/users/jo`, { method: "PUT", headers, body: JSON.stringify({ name: "Jo", groups: ["crew"] }) });
  chromium = await browser();
});
after(async () => {
  await chromium?.close();
  for (const stop of stops) await stop();
  await farm?.stop();
});

afterEach(() => View.closeLeft());

/** That so many questions were refused is no fault of the page; of each the answer and the browser's own words are told. */
const refused = (view, questions) => view.meant(/\b401\b/, 2 * questions);

/** The page before anybody has signed in, which asks who is there and for the farm at once. */
async function stranger(options) {
  const view = await View.open(chromium, address, { ...options, until: ".signin" });
  await refused(view, 2);
  return view;
}

async function signIn(view, token) {
  await view.page.getByLabel("Token").fill(token);
  await view.page.getByRole("button", { name: "Sign in" }).click();
}

test("an operator signs in by a token, acts under that name, and signs out", async () => {
  const view = await stranger();
  const { page } = view;
  assert.equal(await page.locator("li.tile").count(), 0, "nothing of the farm is seen before");
  await signIn(view, "windward_wrong");
  await page.getByText("The sink does not know this token").waitFor();
  await refused(view, 1);
  await signIn(view, tokens.operator);
  await page.locator("li.tile").first().waitFor();
  assert.equal(await page.evaluate(() => document.cookie), "", "no script can read the token");
  await page.reload();
  await page.locator("li.tile").first().waitFor();
  await view.go(`#/alert/${gust.agent}/${gust.id}`, ".conversation form");
  assert.equal(await page.getByLabel("Your name").count(), 0);
  await page.getByLabel("Note or comment").fill("on my way");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByText("the operator acknowledged it").waitFor();
  await page.locator(".settings summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator(".signin").waitFor();
  await page.reload();
  await page.locator(".signin").waitFor();
  await refused(view, 2);
  await view.close();
});

test("a viewer looks, and an admin sees who did what", async () => {
  const viewer = await stranger();
  await signIn(viewer, tokens.viewer);
  await viewer.page.waitForSelector(".connection.live");
  await viewer.go(`#/alert/${gust.agent}/${gust.id}`, ".conversation");
  await viewer.page.getByText("sign in as an operator").waitFor();
  assert.equal(await viewer.page.locator(".conversation form").count(), 0);
  await viewer.close();
  const admin = await stranger();
  await signIn(admin, tokens.admin);
  await admin.page.waitForSelector(".connection.live");
  await admin.page.locator(".settings summary").click();
  await admin.page.getByRole("link", { name: "Who did what" }).click();
  const row = admin.page.getByRole("row", { name: /the admin admin sign-in/ });
  await row.waitFor();
  await admin.page.keyboard.press("Escape");
  for (const theme of ["light", "dark"]) {
    await admin.page.emulateMedia({ colorScheme: theme });
    await admin.screenshot(`audit-${theme}-desktop`, { fullPage: true });
    assert.deepEqual(await admin.barriers(), []);
  }
  await admin.close();
});

test("somebody who signs in at the company's login, on another site, comes back as that person", async () => {
  const view = await View.open(chromium, address, { until: ".signin" });
  const { page } = view;
  await page.getByRole("link", { name: "North Ridge login" }).click();
  await page.getByPlaceholder("sub").fill("jo");
  await page.getByRole("button", { name: "Authorize" }).click();
  await page.locator("li.tile").first().waitFor();
  await page.locator(".settings summary").click();
  await page.getByText("Jo, operator").waitFor();
  // What the browser complained of is the login's page, which is not ours.
  view.complaints = [];
  await view.close();
});

for (const size of ["desktop", "phone"]) {
  for (const theme of ["light", "dark"]) {
    test(`signing in, ${theme}, ${size}`, async () => {
      const view = await stranger({ theme, size });
      await view.screenshot(`signin-${theme}-${size}`, { fullPage: true });
      assert.deepEqual(await view.barriers(), []);
      await view.close();
    });
  }
}

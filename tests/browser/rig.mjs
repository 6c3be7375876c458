// The simulated farm, the browser, and how both are waited for.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before } from "node:test";

export const told = (name) => process.env[name] ?? assert.fail(`${name} is not set; start these tests with tests/browser/run`);
const packages = createRequire(join(told("WINDWARD_BROWSER"), "package.json"));
const { chromium } = packages("playwright-core");
const AXE = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

/** How long anything on the page may take to come about, unless a test says otherwise, ms. */
const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 25;

export const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

/** Waits until `look` gives something; an error of its own is what failed if it never does. */
export async function eventually(what, look, within_ms = PATIENCE_MS) {
  const end = performance.now() + within_ms;
  let last;
  do {
    try {
      const found = await look();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((again) => setTimeout(again, LOOK_EVERY_MS));
  } while (performance.now() < end);
  throw new Error(`not within ${within_ms / 1_000} s: ${what}`, { cause: last });
}

/** All of Windward around simulated turbines. */
export class Farm {
  /** The simulated farm, three turbines, on free ports. */
  static start() {
    return Farm.run("farm", (data) => ["--http", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data", data]);
  }

  /** A program that says where its page is. What it leaves, for it is killed, is in a folder that goes with it. */
  static async run(program, given) {
    const farm = new Farm();
    farm.data = mkdtempSync(join(tmpdir(), "windward-browser-"));
    const env = { ...process.env, TMPDIR: farm.data };
    farm.process = spawn(join(told("WINDWARD_PROGRAMS"), program), given(farm.data), { stdio: ["ignore", "pipe", "pipe"], env });
    farm.ended = new Promise((end) => farm.process.on("close", end));
    farm.said = "";
    for (const stream of [farm.process.stdout, farm.process.stderr]) stream.on("data", (text) => (farm.said += text));
    farm.kill = () => farm.process.kill("SIGKILL");
    process.once("exit", farm.kill);
    farm.address = await eventually(`${program} says where its page is`, () => {
      assert.equal(farm.process.exitCode, null, farm.said);
      return /^Page: (\S+)/m.exec(farm.said)?.[1];
    }, 60_000);
    return farm;
  }

  /** What the API says. */
  async ask(path) {
    const answer = await fetch(`${this.address}/api/v1/${path}`);
    assert.equal(answer.status, 200, path);
    return answer.json();
  }

  /** Raises a fault, as the page's button does. */
  async raise(fault, turbine) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.address}/api/v1/demo/fault`, { method: "POST", headers, body: JSON.stringify({ fault, turbine }) });
    assert.ok(answer.ok, `${fault}: ${answer.status}`);
  }

  /** Somebody publishes on the farm's broker (MQTT 5, quality of service 0). */
  async publish(topic, payload) {
    const { hostname, port } = new URL(/^Broker: (\S+)/m.exec(this.said)[1]);
    const text = (words) => [0, words.length, ...Buffer.from(words)];
    const packet = (kind, body) => Buffer.from([kind, body.length, ...body]);
    const socket = connect(Number(port), hostname);
    // Protocol 5, a clean start, a minute's keep-alive, no properties.
    socket.write(packet(0x10, [...text("MQTT"), 5, 2, 0, 60, 0, ...text("somebody")]));
    const [answer] = await once(socket, "data");
    assert.deepEqual([answer[0], answer[3]], [0x20, 0], "CONNACK, accepted");
    socket.end(Buffer.concat([packet(0x30, [...text(topic), 0, ...payload]), packet(0xe0, [])]));
    await once(socket, "close");
  }

  async stop() {
    this.kill();
    await this.ended;
    process.off("exit", this.kill);
    rmSync(this.data, { recursive: true });
  }
}

/** A way to a farm's sink that can be cut: what is under way is broken off, and nothing gets through until it is mended. */
export class Line {
  static async to(address) {
    const { hostname, port } = new URL(address);
    const line = new Line();
    line.isCut = false;
    line.ends = new Set();
    line.server = createServer((here) => {
      if (line.isCut) return here.destroy();
      const there = connect(Number(port), hostname);
      for (const [end, other] of [[here, there], [there, here]]) {
        line.ends.add(end);
        end.pipe(other);
        end.on("error", () => undefined);
        end.on("close", () => line.ends.delete(end) && other.destroy());
      }
    }).listen(0, hostname);
    await once(line.server, "listening");
    line.address = `http://${hostname}:${line.server.address().port}`;
    return line;
  }

  cut() {
    this.isCut = true;
    for (const end of this.ends) end.destroy();
  }

  mend() {
    this.isCut = false;
  }

  async close() {
    this.cut();
    await new Promise((closed) => this.server.close(closed));
  }
}

/** A port that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** A program that runs beside the tests and ends with them. */
export function beside(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = once(child, "close");
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  return async () => {
    kill();
    await ended;
    process.off("exit", kill);
  };
}

/** Debian's Chromium. */
export function browser() {
  const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  // Its sandbox wants a user who is not root.
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: process.env.WINDWARD_CHROMIUM ?? "/usr/bin/chromium", args: [...quiet, ...sandbox], ignoreDefaultArgs: ["--hide-scrollbars"] });
}

/** A view of the page in a browser of its own, and all that the browser complained of. */
export class View {
  static #open = new Set();

  static async open(browser, address, { theme = "light", size = "desktop", before, until = ".connection.live" } = {}) {
    const view = new View();
    view.address = address;
    view.complaints = [];
    view.context = await browser.newContext({ viewport: SIZES[size], colorScheme: theme, hasTouch: size === "phone", isMobile: size === "phone", timezoneId: "Europe/Vienna" });
    View.#open.add(view);
    view.page = await view.another({ before });
    await view.page.waitForSelector(until);
    return view;
  }

  /** Another page of the same browser, as far as it has loaded. */
  async another({ before } = {}) {
    const { address } = this;
    const page = await this.context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const complain = (text) => this.complaints.push(text);
    page.on("console", (said) => ["error", "warning"].includes(said.type()) && complain(`${said.type()}: ${said.text()}`));
    page.on("pageerror", (error) => complain(`uncaught: ${error}`));
    page.on("response", (answer) => answer.status() >= 400 && complain(`${answer.status()} ${answer.url()}`));
    page.on("request", (asked) => asked.url().startsWith(`${address}/`) || complain(`asked elsewhere: ${asked.url()}`));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (broken) => console.error(`policy broken: ${broken.violatedDirective} ${broken.blockedURI}`));
    });
    if (before) await page.addInitScript(before);
    await page.goto(address);
    return page;
  }

  /** To another view of the page, as a link would. */
  async go(hash, until) {
    await this.page.evaluate((to) => (location.hash = to), hash);
    await this.page.waitForSelector(until);
  }

  /** What axe finds wrong, in words. */
  async barriers() {
    const tools = await this.context.newCDPSession(this.page);
    // Not as a script of the page, which its policy would refuse.
    await tools.send("Runtime.evaluate", { expression: AXE });
    await tools.detach();
    return this.page.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ["violations"] });
      const why = (node) => [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; ");
      return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${why(node)}`));
    });
  }

  /** That the browser complains so is meant, so many times: it is waited for, as it may come after what the page shows of it. */
  async meant(pattern, times) {
    const ours = (text) => pattern.test(text);
    await eventually(`${times} times ${pattern}`, () => this.complaints.filter(ours).length >= times);
    assert.equal(this.complaints.filter(ours).length, times);
    this.complaints = this.complaints.filter((text) => !ours(text));
  }

  async screenshot(name, options = {}) {
    const folder = told("WINDWARD_SCREENS");
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`), ...options });
  }

  async close() {
    View.#open.delete(this);
    await this.context.close();
    assert.deepEqual(this.complaints, []);
  }

  /** Closes what a failed test has left, and tells what might be why. */
  static async closeLeft() {
    for (const view of View.#open) {
      console.log(`${view.page.url()} shows: ${(await view.page.locator("body").innerText()).replaceAll(/\s+/g, " ").slice(0, 2_000)}`);
      console.log(`Complaints: ${view.complaints.join("; ") || "none"}`);
      View.#open.delete(view);
      await view.context.close();
    }
  }
}

/** A farm and a browser for the tests of a file, which `take` takes: there before they begin, and gone after them. */
export function around(take) {
  let farm, chromium;
  before(async () => {
    farm = await Farm.start();
    chromium = await browser();
    await take({ farm, chromium });
  });
  afterEach(() => View.closeLeft());
  after(async () => {
    await chromium?.close();
    await farm?.stop();
  });
}

/** Prints what was measured as tests/run looks for it. */
export function figure(what, delays_ms, unit = "ms") {
  const sorted = [...delays_ms].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  console.log(`FIGURE ${what}: median ${Math.round(median)} ${unit}, worst ${Math.round(sorted.at(-1))} ${unit} of ${sorted.length}`);
  return median;
}

// What the page costs, with many turbines on a real sink. Started by tests/browser/figures.
import { readdirSync, readFileSync } from "node:fs";
import { get } from "node:http";
import { browser, Farm, figure, SIZES, View } from "./rig.mjs";

const TURBINES = Number(process.argv[2] ?? 200);
const RUNS = 7;
const IDLE_S = 15;
/** Clock ticks a second in /proc, on every Linux for people. */
const TICKS = 100;

/** Runs in the page: when so many tiles were painted. */
function watchTiles() {
  const look = () => {
    const tiles = document.querySelectorAll("li.tile .spark path").length;
    if (!tiles || window.painted) return;
    window.painted = { tiles };
    requestAnimationFrame(() => setTimeout(() => (window.painted.ms = performance.now())));
  };
  addEventListener("DOMContentLoaded", () => new MutationObserver(look).observe(document.body, { subtree: true, childList: true }));
}

async function paint(chromium, farm) {
  const [first, whole] = [[], []];
  for (let run = 0; run < RUNS; run += 1) {
    const view = await View.open(chromium, farm.address, { before: watchTiles });
    await view.page.waitForFunction(() => window.painted?.ms);
    const { tiles, ms, paint } = await view.page.evaluate(() => ({ ...window.painted, paint: performance.getEntriesByName("first-contentful-paint")[0].startTime }));
    if (tiles !== TURBINES) throw new Error(`${tiles} tiles`);
    first.push(paint);
    whole.push(ms);
    await view.close();
  }
  figure("first paint", first);
  figure(`overview of ${TURBINES} turbines painted, nothing cached`, whole);
}

/** Seconds of processor time that processes of a kind have taken, of those below this one. */
function cpu(kind) {
  const stats = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(/\) (?=\S )/);
      const fields = rest.split(" ");
      return [{ pid: Number(pid), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]), line: readFileSync(`/proc/${pid}/cmdline`, "utf8") }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
  const parents = new Map(stats.map(({ pid, parent }) => [pid, parent]));
  const isOurs = (pid) => pid === process.pid || (parents.has(pid) && isOurs(parents.get(pid)));
  return stats.filter(({ pid, line }) => line.includes(kind) && isOurs(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS;
}

async function idle(chromium, farm, name, hash, until) {
  const view = await View.open(chromium, farm.address);
  await view.go(hash, until);
  const tools = await view.context.newCDPSession(view.page);
  await tools.send("Performance.enable");
  const tasks = async () => Object.fromEntries((await tools.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
  // What is loaded and drawn once is not what it costs to stay open.
  await new Promise((go) => setTimeout(go, 3_000));
  const before = { ...(await tasks()), renderer: cpu("--type=renderer") };
  await new Promise((go) => setTimeout(go, IDLE_S * 1_000));
  const { TaskDuration, ScriptDuration, JSHeapUsedSize } = await tasks();
  const share = (seconds) => `${((100 * seconds) / IDLE_S).toFixed(1)} %`;
  console.log(`FIGURE ${name}, open for ${IDLE_S} s: tasks ${share(TaskDuration - before.TaskDuration)} of a core, of them scripts ` +
    `${share(ScriptDuration - before.ScriptDuration)}; its process ${share(cpu("--type=renderer") - before.renderer)}; heap ${(JSHeapUsedSize / 1e6).toFixed(1)} MB`);
  await view.close();
}

/** Bytes on the wire of all files of the page, packed. */
async function weight(farm) {
  const load = (path) => new Promise((done, fail) =>
    get(farm.address + path, { headers: { "accept-encoding": "gzip" } }, (answer) => {
      let bytes = 0;
      answer.on("data", (piece) => (bytes += piece.length));
      answer.on("end", () => done(bytes));
    }).on("error", fail));
  const html = await (await fetch(farm.address)).text();
  const files = ["/", ...[...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path)];
  const sizes = await Promise.all(files.map(load));
  console.log(`FIGURE page weight: ${(sizes.reduce((a, b) => a + b) / 1_000).toFixed(1)} kB gzipped in ${files.length} files`);
}

const farm = await Farm.run("examples/fleet", () => [String(TURBINES)]);
const chromium = await browser();
await weight(farm);
await paint(chromium, farm);
await idle(chromium, farm, `overview of ${TURBINES} turbines, a reading a second each`, "#/", "li.tile");
await idle(chromium, farm, "a turbine's view", "#/turbine/turbine-001", ".uplot");
await idle(chromium, farm, "alerts", "#/alerts", "li.alert");
await idle(chromium, farm, `delivery of ${TURBINES} turbines`, "#/delivery", "li.delivery");
for (const size of Object.keys(SIZES)) {
  const view = await View.open(chromium, farm.address, { size });
  for (const [name, hash, until] of [["overview", "#/", "li.tile"], ["statistics", "#/statistics", ".bin"]]) {
    await view.go(hash, until);
    await view.screenshot(`${name}-${TURBINES}-${size}`, { fullPage: name === "statistics" });
  }
  await view.close();
}
await chromium.close();
await farm.stop();

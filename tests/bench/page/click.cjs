// From the click on "1 y" to the drawn chart, in chromium. See `run` beside this file.
//
// A chart is drawn when nothing has been stroked on a canvas for two frames, after the answer to the page's question came.
const { chromium } = require("playwright-core");

const REPEATS = 15;
const LIMIT_MS = 20_000;

async function main(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    await page.addInitScript(watch);
    await page.goto(`${url}/#/turbine/turbine-1`);
    const button = (name) => page.getByRole("button", { name, exact: true });
    await button("1 y").waitFor({ timeout: LIMIT_MS });
    await page.waitForTimeout(2_000);
    console.log(`${"".padEnd(12)}   first  median   worst  ms from click to drawn; of it answered, by the network's clock`);
    for (const name of ["1 y", "30 d", "7 d", "24 h", "1 h"]) {
      const took = [];
      for (let repeat = 0; repeat < REPEATS; repeat++) {
        await button("5 min").click();
        await page.waitForTimeout(700);
        await button(name).click();
        took.push(await page.evaluate((limit) => window.drawn(limit), LIMIT_MS));
      }
      const all = took.map(({ drawn }) => drawn), net = took.map(({ answered }) => answered);
      const first = all[0], half = (list) => [...list].sort((a, b) => a - b)[REPEATS >> 1];
      const of = (ms) => ms.toFixed(0).padStart(7);
      console.log(`FIGURE ${name.padEnd(6)}${of(first)} ${of(half(all))} ${of(Math.max(...all))}  ${of(half(net))}`);
    }
    if (wrong.length) throw new Error(`the page failed: ${wrong.join("; ")}`);
  } finally {
    await browser.close();
  }
}

/** In the page: notes clicks, answers, and the first frame after the last stroke. */
function watch() {
  let [clicked, answered, stroked, painted] = [0, 0, 0, 0];
  addEventListener("click", (event) => ([clicked, answered] = [event.timeStamp, 0]), { capture: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (entry.name.includes("/api/v1/series") && entry.startTime >= clicked) answered = entry.responseEnd;
  }).observe({ type: "resource" });
  for (const name of ["stroke", "fill"]) {
    const plain = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...given) {
      if (painted >= stroked) requestAnimationFrame(() => (painted = performance.now()));
      stroked = performance.now();
      return plain.apply(this, given);
    };
  }
  window.drawn = async (limit) => {
    for (let quiet = 0; performance.now() - clicked < limit; ) {
      const before = stroked;
      await new Promise(requestAnimationFrame);
      const isDrawn = answered > 0 && stroked > answered && painted >= stroked;
      quiet = isDrawn && stroked === before ? quiet + 1 : 0;
      if (quiet === 2) return { drawn: painted - clicked, answered: answered - clicked };
    }
    throw new Error(`nothing was drawn within ${limit} ms`);
  };
}

main(process.argv[2]).catch((error) => {
  console.error(`click.cjs: ${error.message}`);
  process.exit(1);
});

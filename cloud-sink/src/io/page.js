// The live page: asks the API once a second and draws what it says. Text goes in as text, never as markup.
"use strict";

const WINDOW_MS = 120_000; // of the chart
const LEAST_STALE_MS = 5_000;
const COLOURS = ["#2f7ed8", "#e0862b", "#2ca25f", "#b04ad0", "#c9353f", "#179ea8", "#8a7a1f", "#6b6ee0"];
const devices = new Map(); // "agent/device" → { rows, since }
const dash = new Map([[true, [6, 4]], [false, []]]);
let skew = 0; // sink's clock minus ours, ms

const byId = (id) => document.getElementById(id);
const clock = () => Date.now() + skew;

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function age(ms) {
  if (ms === null || ms === undefined) return "never";
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return seconds.toFixed(1) + " s ago";
  if (seconds < 120) return Math.round(seconds) + " s ago";
  if (seconds < 7200) return Math.round(seconds / 60) + " min ago";
  return Math.round(seconds / 3600) + " h ago";
}

function figure(value, unit) {
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : 2;
  return value.toFixed(digits) + " " + unit;
}

const number = (value, unit) => (value === null || value === undefined ? "–" : figure(value, unit));

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(5000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

// Reads what is new of one device, and forgets what has left the chart.
async function follow(agent, device) {
  const key = agent + "/" + device;
  const known = devices.get(key) || { rows: [], since: clock() - WINDOW_MS };
  devices.set(key, known);
  const parameters = new URLSearchParams({ agent, device, from: Math.round(known.since), limit: 5000 });
  const page = await ask("/api/v1/readings?" + parameters);
  for (const row of page.rows) {
    known.rows.push(row);
    known.since = row.time_ms + 1;
  }
  // The last row stays, however old: a value that is shown as stale says more than none.
  const fresh = known.rows.filter((row) => row.time_ms >= clock() - WINDOW_MS);
  known.rows = fresh.length ? fresh : known.rows.slice(-1);
}

function staleAfter(device) {
  return Math.max(LEAST_STALE_MS, 3 * device.interval_ms);
}

function channelRow(channel, rows, limit) {
  const last = rows.at(-1);
  const good = rows.findLast((row) => channel.name in row.values);
  const old = !last || clock() - last.time_ms > limit;
  // A channel that is read less often is not in every row; what was last said of it holds, good or bad.
  const spoken = rows.findLast((row) => channel.name in row.values || channel.name in row.no_data);
  const reason = spoken && spoken.no_data[channel.name];
  const cells = [element("td", {}, channel.name)];
  if (reason && !old) {
    const before = good ? "; last " + number(good.values[channel.name], channel.unit) : "";
    cells.push(element("td", { class: "value bad" }, "no data: " + reason + before));
  } else {
    const value = good ? number(good.values[channel.name], channel.unit) : "–";
    cells.push(element("td", { class: "value" }, old && good ? value + " (stale)" : value));
  }
  const score = last && last.scores[channel.name];
  cells.push(element("td", { class: "value soft" }, score === undefined || old ? "" : "score " + score.toFixed(2)));
  return element("tr", old ? { class: "stale" } : {}, ...cells);
}

function deviceCard(agent, device) {
  const { rows } = devices.get(agent.agent + "/" + device.device) || { rows: [] };
  const limit = staleAfter(device);
  const last = rows.at(-1);
  const old = !last || clock() - last.time_ms > limit;
  const state = !agent.online
    ? ["bad", "agent offline, last seen " + age(agent.age_ms)]
    : old
      ? ["warn", last ? "stale, last reading " + age(clock() - last.time_ms) : "no readings in the last two minutes"]
      : ["good", age(clock() - last.time_ms)];
  const head = element("div", { class: "top" },
    element("h3", {}, device.location), element("span", { class: state[0] }, state[1]));
  const table = element("table", {}, ...device.channels.map((channel) => channelRow(channel, rows, limit)));
  const name = element("p", { class: "soft" }, agent.agent + " · " + device.device);
  return element("div", { class: old || !agent.online ? "card stale" : "card" }, head, name, table);
}

function isWind(channel) {
  return channel.quantity === "wind-speed";
}

function draw(agents) {
  const canvas = byId("wind");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const lines = [];
  for (const agent of agents) {
    for (const device of agent.devices || []) {
      for (const channel of device.channels.filter(isWind)) {
        const rows = (devices.get(agent.agent + "/" + device.device) || { rows: [] }).rows;
        lines.push({ name: device.location, unit: channel.unit, channel: channel.name, rows, interval: device.interval_ms });
      }
    }
  }
  const values = lines.flatMap((line) => line.rows.map((row) => row.values[line.channel] ?? 0));
  const top = Math.max(10, Math.ceil(Math.max(0, ...values) / 5) * 5);
  const now = clock();
  const x = (time) => width - 8 - ((now - time) / WINDOW_MS) * (width - 44);
  const y = (value) => height - 20 - (value / top) * (height - 30);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = style.getPropertyValue("--soft");
  pen.strokeStyle = style.getPropertyValue("--line");
  for (let value = 0; value <= top; value += top / 5) {
    pen.beginPath();
    pen.moveTo(36, y(value));
    pen.lineTo(width - 8, y(value));
    pen.stroke();
    pen.fillText(value.toFixed(0), 8, y(value) + 4);
  }
  pen.fillText("2 min ago", 36, height - 4);
  pen.fillText("now", width - 30, height - 4);
  lines.forEach((line, index) => {
    pen.strokeStyle = COLOURS[index % COLOURS.length];
    pen.setLineDash(dash.get(index >= COLOURS.length));
    pen.lineWidth = 1.8;
    pen.beginPath();
    let before = null;
    for (const row of line.rows) {
      const value = row.values[line.channel];
      // A missing value is a gap in the line, not a line across it.
      if (value === undefined || x(row.time_ms) < 36) {
        before = null;
        continue;
      }
      const joined = before !== null && row.time_ms - before < 3 * line.interval + 1000;
      pen[joined ? "lineTo" : "moveTo"](x(row.time_ms), y(value));
      before = row.time_ms;
    }
    pen.stroke();
    pen.setLineDash([]);
  });
  byId("legend").replaceChildren(...lines.map((line, index) => {
    const swatch = element("i");
    swatch.style.background = COLOURS[index % COLOURS.length];
    return element("span", {}, swatch, line.name + (line.unit ? " (" + line.unit + ")" : ""));
  }));
}

function alertBox(alert) {
  const channel = alert.channel ? ", " + alert.channel : "";
  return element("div", { class: "alert " + alert.severity },
    element("strong", {}, alert.kind + " at " + alert.location + " (" + alert.severity + ")"),
    element("p", {}, alert.evidence),
    element("p", { class: "soft" }, alert.device + channel + " · since " + age(clock() - alert.opened_ms) +
      (alert.notified_ms ? " · people were told" : "")));
}

function alertRow(alert) {
  const cleared = () => "cleared " + age(clock() - alert.cleared_ms);
  const state = alert.state === "cleared" ? cleared() : alert.state === "open" ? "open" : "agent restarted since";
  const channel = alert.channel ? " " + alert.channel : "";
  return element("tr", {},
    element("td", {}, new Date(alert.opened_ms).toLocaleString()), element("td", {}, alert.location),
    element("td", {}, alert.kind + channel + ": " + alert.evidence), element("td", {}, number(alert.wind_speed, "m/s")),
    element("td", {}, number(alert.anomaly_score, "")), element("td", {}, state));
}

async function refresh() {
  const [{ farm, now_ms, agents }, { alerts }] = await Promise.all([ask("/api/v1/agents"), ask("/api/v1/alerts?limit=50")]);
  skew = now_ms - Date.now();
  const all = agents.flatMap((agent) => (agent.devices || []).map((device) => [agent, device]));
  await Promise.all(all.map(([agent, device]) => follow(agent.agent, device.device)));
  byId("farm").textContent = "· " + farm;
  const open = alerts.filter((alert) => alert.state === "open");
  byId("open").replaceChildren(...open.map(alertBox));
  byId("turbines").replaceChildren(...all.map(([agent, device]) => deviceCard(agent, device)));
  byId("alerts").replaceChildren(...alerts.slice(0, 20).map(alertRow));
  draw(agents);
  const online = agents.filter((agent) => agent.online).length;
  byId("status").textContent = online + " of " + agents.length + " agents online · " + open.length + " open alerts";
  byId("status").className = "";
  document.title = (open.length ? "(" + open.length + ") " : "") + "Windward · " + farm;
}

async function run() {
  for (;;) {
    const began = Date.now();
    try {
      await refresh();
    } catch (error) {
      byId("status").textContent = "no answer from the sink: " + error.message + "; what stands here is old";
      byId("status").className = "bad";
    }
    await new Promise((done) => setTimeout(done, Math.max(100, 1000 - (Date.now() - began))));
  }
}

run();

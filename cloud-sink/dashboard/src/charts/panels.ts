// What is drawn above what: one panel a quantity, the scores below, all on one axis of time.
import { empty, latest, type Columns } from "../columns.ts";
import type { Agent, Device } from "../types.ts";

/** A channel of some turbine; `other` is one that was added to be compared. */
export interface Source {
  key: string;
  agent: string;
  device: string;
  channel: string;
  quantity: string;
  unit: string;
  interval_ms: number;
  other: boolean;
}

export interface Line {
  key: string;
  label: string;
  columns: Columns;
  colour: number;
  points: boolean;
  band: boolean;
  dashed: boolean;
}

export interface Threshold {
  value: number;
  label: string;
}

export interface Panel {
  key: string;
  title: string;
  unit: string;
  circle: boolean;
  score: boolean;
  lines: Line[];
  thresholds: Threshold[];
}

/** A stretch of time that an alert covers; an open one reaches to now. */
export interface Band {
  key: string;
  from: number;
  to: number | null;
  label: string;
  severity: string;
  href: string;
}

const QUANTITIES = ["wind-speed", "wind-direction", "power", "rotor-speed", "pitch-angle", "yaw-angle", "vibration", "temperature"];
const rank = (quantity: string): number => (QUANTITIES.includes(quantity) ? QUANTITIES.indexOf(quantity) : QUANTITIES.length);

export const isCircle = (quantity: string): boolean => quantity === "wind-direction" || quantity === "yaw-angle";

export const quantityWords = (quantity: string): string => {
  const words = quantity.replaceAll("-", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export const keyOf = (agent: string, device: string, channel: string): string => `${agent}/${device}/${channel}`;

export function sourceOf(agent: string, device: Device, channel: Device["channels"][number], other = false): Source {
  const { name, quantity, unit } = channel;
  return { key: keyOf(agent, device.device, name), agent, device: device.device, channel: name, quantity, unit, interval_ms: device.interval_ms, other };
}

/** All channels of a turbine. */
export const sourcesOf = (agent: Agent): Source[] =>
  (agent.devices ?? []).flatMap((device) => device.channels.map((channel) => sourceOf(agent.agent, device, channel)));

/** What is shown before anybody chooses: the wind; where there is none, the first channels. */
export function usual(sources: Source[]): string[] {
  const wind = sources.filter((source) => source.quantity.startsWith("wind-"));
  return (wind.length ? wind : sources).slice(0, 4).map((source) => source.key);
}

/** The same quantity at another turbine: the first channel that gives it. */
export const sameAt = (agent: Agent, quantity: string): Source | null => {
  const found = sourcesOf(agent).find((source) => source.quantity === quantity);
  return found ? { ...found, other: true } : null;
};

function labelOf(source: Source, all: Source[]): string {
  if (source.other) return `${source.agent} ${source.channel}`;
  const isAmbiguous = all.some((one) => !one.other && one.channel === source.channel && one.device !== source.device);
  return isAmbiguous ? `${source.device} ${source.channel}` : source.channel;
}

/** Those that are compared come last, so that adding one changes no colour. */
const inOrder = (sources: Source[]): Source[] =>
  [...sources].sort((a, b) => Number(a.other) - Number(b.other) || rank(a.quantity) - rank(b.quantity));

/** Which colour the charts give a channel, by number; -1 where it is not drawn. */
export const placeOf = (key: string, sources: Source[]): number => inOrder(sources).findIndex((source) => source.key === key);

/** The panels of some channels, the wind first. Colours go by place in the list. */
export function panelsOf(sources: Source[], columns: Map<string, Columns>, thresholds: Map<string, Threshold[]>): Panel[] {
  const panels = new Map<string, Panel>();
  const lines: Line[] = [];
  for (const [place, source] of inOrder(sources).entries()) {
    // One that is not known yet has its place already, so that nothing moves when it comes.
    const known = columns.get(source.key) ?? empty();
    const circle = isCircle(source.quantity);
    const line: Line = {
      key: source.key, label: labelOf(source, sources), columns: known, colour: place, points: circle,
      band: !circle && !source.other, dashed: source.other,
    };
    lines.push(line);
    const key = `${source.quantity} ${source.unit}`;
    const panel = panels.get(key) ?? { key, title: quantityWords(source.quantity), unit: source.unit, circle, score: false, lines: [], thresholds: [] };
    panel.lines.push(line);
    panel.thresholds.push(...(thresholds.get(source.key) ?? []));
    panels.set(key, panel);
  }
  const scores = scorePanel(lines.filter((line) => !line.dashed && !line.points), thresholds, columns.size > 0);
  return [...panels.values(), ...(scores ? [scores] : [])];
}

/** How strange each channel was; none where it is known that nothing is scored. */
function scorePanel(lines: Line[], thresholds: Map<string, Threshold[]>, isKnown: boolean): Panel | null {
  const scored = lines.filter((line) => !isKnown || line.columns.score.some((score) => score !== null));
  if (!scored.length) return null;
  const limits = scored.flatMap((line) => thresholds.get(`${line.key} score`) ?? []);
  const drawn = scored.map((line) => {
    const { time, score } = line.columns;
    return { ...line, columns: { time, min: score, max: score, mean: score, score }, points: false, band: false };
  });
  return { key: "score", title: "Anomaly score", unit: "", circle: false, score: true, lines: drawn, thresholds: limits.slice(0, 1) };
}

const SEVERITY_RANK = ["info", "warning", "critical"];

/** Bands so short in the span that their bars would lie on each other become one, which tells how many they are. */
export function clusters(bands: Band[], from: number, to: number, now: number): (Band & { n: number })[] {
  const near = (to - from) / 50;
  const end = (band: Band): number => band.to ?? now;
  const made: (Band & { n: number })[] = [];
  for (const band of [...bands].sort((a, b) => a.from - b.from)) {
    const last = made.at(-1);
    const isCrowd = last && band.from - last.from < near && end(band) - band.from < near && end(last) - last.from < 2 * near;
    if (!isCrowd) {
      made.push({ ...band, n: 1 });
      continue;
    }
    last.to = Math.max(end(last), end(band));
    last.n += 1;
    last.label = `${last.n} alerts`;
    if (SEVERITY_RANK.indexOf(band.severity) > SEVERITY_RANK.indexOf(last.severity)) last.severity = band.severity;
  }
  return made;
}

/** Bands one below the other where they overlap, in at most `most` rows; the last row takes what is over. */
export function rowsOf<B extends Band>(bands: B[], now: number, most = 3): B[][] {
  const rows: B[][] = [];
  for (const band of [...bands].sort((a, b) => a.from - b.from)) {
    const free = rows.find((row) => (row.at(-1)?.to ?? now) < band.from);
    if (free) free.push(band);
    else if (rows.length < most) rows.push([band]);
    else rows.at(-1)?.push(band);
  }
  return rows;
}

/** The newest value of each line, for the table below a chart. */
export const newest = (panels: Panel[]) =>
  panels.flatMap((panel) => panel.lines.map((line) => ({ panel, line, last: latest(line.columns) })));

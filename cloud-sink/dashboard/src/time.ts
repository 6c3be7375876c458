// Times in words and figures. The day comes before the hour, years first, 24 hours: read alike everywhere.

export type Zone = "local" | "utc";
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => String(n).padStart(2, "0");

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function parts(ms: number, zone: Zone): Parts {
  const d = new Date(ms);
  return zone === "utc"
    ? { year: d.getUTCFullYear(), month: d.getUTCMonth(), day: d.getUTCDate(), hour: d.getUTCHours(), minute: d.getUTCMinutes(), second: d.getUTCSeconds() }
    : { year: d.getFullYear(), month: d.getMonth(), day: d.getDate(), hour: d.getHours(), minute: d.getMinutes(), second: d.getSeconds() };
}

/** "14:03:05" */
export function clock(ms: number, zone: Zone, seconds = true): string {
  const p = parts(ms, zone);
  return `${two(p.hour)}:${two(p.minute)}${seconds ? `:${two(p.second)}` : ""}`;
}

/** "2026-11-22" */
export function date(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${p.year}-${two(p.month + 1)}-${two(p.day)}`;
}

/** "2026-11-22 14:03:05 UTC"; local time has no zone behind it. */
export const exact = (ms: number, zone: Zone): string => `${date(ms, zone)} ${clock(ms, zone)}${zone === "utc" ? " UTC" : ""}`;

/** "2026-11-22 14:00:00 – 14:05:00 UTC": the day once, where both ends are in it. */
export function between(from: number, to: number, zone: Zone): string {
  const isOneDay = date(from, zone) === date(to, zone);
  const zoneWords = zone === "utc" ? " UTC" : "";
  return `${date(from, zone)} ${clock(from, zone)} – ${isOneDay ? "" : `${date(to, zone)} `}${clock(to, zone)}${zoneWords}`;
}

/** "40 s", "5 min", "2 h 5 min", "3 d 4 h": two units at most. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / SECOND));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

/** "just now", "20 s ago". Below a minute in steps of ten seconds, so that a page of turbines does not flicker. */
export function ago(ms: number | null, now: number): string {
  if (ms === null) return "never";
  const age = now - ms;
  if (age < 10 * SECOND) return "just now";
  if (age < MINUTE) return `${Math.floor(age / (10 * SECOND)) * 10} s ago`;
  return `${duration(age)} ago`;
}

/** Labels of a time axis: hours, with the day below the first label and where a day begins; days; months. */
export function axisLabels(splits: number[], step: number, zone: Zone): string[] {
  let before = "";
  return splits.map((ms) => {
    const p = parts(ms, zone);
    const day = `${p.day} ${MONTHS[p.month]}`;
    const [label, below] = step >= 28 * DAY ? [MONTHS[p.month], String(p.year)] : step >= DAY ? [day, String(p.year)] : [clock(ms, zone, step < MINUTE), day];
    const both = below === before ? `${label}` : `${label}\n${below}`;
    before = below;
    return both;
  });
}

/** A day of the calendar as a date field gives it, "2026-11-22", as its first millisecond. */
export function dayStart(text: string, zone: Zone): number | null {
  const ms = Date.parse(`${text}T00:00:00${zone === "utc" ? "Z" : ""}`);
  return Number.isNaN(ms) ? null : ms;
}

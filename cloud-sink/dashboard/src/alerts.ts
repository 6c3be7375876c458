// Alerts in words, filtered and kept up to date.
import type { Alert, Severity } from "./types.ts";

const KIND_WORDS: Record<string, string> = {
  stuck: "Stuck sensor", dropout: "Dropout", spike: "Spikes", noise: "Noisy sensor", offset: "Sensors differ", iced: "Iced sensor",
  anomaly: "Unusual signal", gust: "Extreme gust", "high-wind": "High wind", turbulence: "High turbulence", "no-data": "No data",
  limit: "Limit passed", "agent-silent": "Turbine silent", "farm-silent": "Farm silent", "device-silent": "Device silent",
  "clock-off": "Clock is off", "spool-filling": "Disk is filling", "gaps-found": "Data missing", loss: "Data lost",
  departs: "Departs from its neighbours",
};

/** Kinds that speak of a sensor's health, not of the weather. */
const HEALTH = new Set(["stuck", "dropout", "spike", "noise", "offset", "iced", "no-data", "departs", "anomaly", "device-silent"]);

/** Kinds that are told of what a few seconds brought. */
const BRIEF = new Set(["gust", "spike", "dropout"]);

export const kindWords = (kind: string): string => KIND_WORDS[kind] ?? kind.charAt(0).toUpperCase() + kind.slice(1).replaceAll("-", " ");
export const isHealth = (kind: string): boolean => HEALTH.has(kind);
export const isBrief = (kind: string): boolean => BRIEF.has(kind);
export const kinds = (): string[] => Object.keys(KIND_WORDS);
export const SEVERITIES: Severity[] = ["critical", "warning", "info"];

export interface AlertFilter {
  state: "" | Alert["state"];
  severity: "" | Severity;
  kind: string;
  agent: string;
  text: string;
}

export const ALL: AlertFilter = { state: "", severity: "", kind: "", agent: "", text: "" };

export const keyOf = (alert: { agent: string; id: string }): string => `${alert.agent}/${alert.id}`;

/** Whether an alert is among those that are asked for. */
export function matches(alert: Alert, filter: AlertFilter): boolean {
  const { state, severity, kind, agent } = filter;
  if ((state && alert.state !== state) || (severity && alert.severity !== severity)) return false;
  if ((kind && alert.kind !== kind) || (agent && alert.agent !== agent)) return false;
  const wanted = filter.text.trim().toLowerCase();
  const words = [alert.agent, alert.location, alert.device, alert.channel, alert.kind, kindWords(alert.kind), alert.evidence, alert.note ?? ""];
  return !wanted || words.some((word) => word.toLowerCase().includes(wanted));
}

/** Open ones first, then the newest. */
export const byNews = (a: Alert, b: Alert): number =>
  Number(b.state === "open") - Number(a.state === "open") || b.opened_ms - a.opened_ms || keyOf(a).localeCompare(keyOf(b));

/** The gravest first, then the newest. */
export const byWeight = (a: Alert, b: Alert): number => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || byNews(a, b);

/** The list with one alert put in or in its older self's place. An older telling never overwrites a newer one. */
export function merged(list: Alert[], news: Alert[]): Alert[] {
  const known = new Map(list.map((alert) => [keyOf(alert), alert]));
  for (const alert of news) {
    const before = known.get(keyOf(alert));
    if (!before || newer(alert, before)) known.set(keyOf(alert), alert);
  }
  return [...known.values()].sort(byNews);
}

function newer(alert: Alert, before: Alert): boolean {
  const said = (one: Alert) => Math.max(one.updated_ms, one.acknowledged_ms ?? 0, ...(one.comments ?? []).map((comment) => comment.at_ms));
  return said(alert) >= said(before);
}

/** What has become of an alert, in a word or two. */
export function stateWords(alert: Alert): string {
  if (alert.state === "cleared") return "Cleared";
  if (alert.state === "restarted") return "Agent restarted since";
  return alert.acknowledged_by ? "Open, acknowledged" : "Open";
}

// What the page knows of the farm; views read it, the stream and the answers write it.
import { computed, signal } from "@preact/signals";
import * as api from "./api.ts";
import { keyOf, merged } from "./alerts.ts";
import { now, slow, tell } from "./clock.ts";
import * as live from "./live.ts";
import { announce } from "./notice.ts";
import { byTrouble, shownState, tally, type Ranked } from "./trouble.ts";
import type { Agent, Alert, CompanyLogin, Me, Tile } from "./types.ts";

export const me = signal<Me | null>(null);
export const signedOut = signal<{ oidc: CompanyLogin | null } | null>(null);
export const trouble = signal("");
export const agents = signal<Map<string, Agent>>(new Map());
export const tiles = signal<Map<string, Tile> | null>(null);
/** Open alerts and those that came since the page was opened. */
export const alerts = signal<Alert[]>([]);
/** Alerts that opened while the page was open and were not looked at yet. */
export const fresh = signal<ReadonlySet<string>>(new Set());

export const openAlerts = computed(() => alerts.value.filter((alert) => alert.state === "open"));
export const mayAct = computed(() => me.value !== null && me.value.role !== "viewer");

/** The longest interval of a turbine's devices that give its wind: by it a value is judged old. */
export function intervalOf(agent: string, device?: string): number {
  const devices = agents.value.get(agent)?.devices ?? [];
  const meant = devices.filter((one) => device === undefined || one.device === device);
  return Math.max(0, ...meant.map((one) => one.interval_ms));
}

let before: Ranked[] = [];
const kept = new Map<string, Ranked>();

/** All turbines, worst first. The same objects as before where nothing changed, so that only what changed is drawn. */
export const ranked = computed<Ranked[]>(() => {
  const time = slow.value;
  const list = [...(tiles.value?.values() ?? [])].map((tile) => {
    const shown = shownState(tile, time, intervalOf(tile.agent, tile.wind?.device));
    const known = kept.get(tile.agent);
    if (known?.tile === tile && known.shown === shown) return known;
    const one = { tile, shown };
    kept.set(tile.agent, one);
    return one;
  });
  list.sort(byTrouble);
  if (list.length === before.length && list.every((one, index) => one === before[index])) return before;
  before = list;
  return list;
});

export const counts = computed(() => tally(ranked.value));

export async function loadOverview(): Promise<void> {
  const answer = await api.overview();
  tell(answer.now_ms);
  slow.value = now();
  tiles.value = new Map(answer.turbines.map((tile) => [tile.agent, tile]));
}

async function loadAgents(): Promise<void> {
  agents.value = new Map((await api.agents()).map((agent) => [agent.agent, agent]));
}

/** Whether open alerts were listed before: what is listed first is no news. */
let listed = false;

async function loadOpen(): Promise<void> {
  const ended = new Set(openAlerts.value.map(keyOf));
  const { alerts: open } = await api.alerts({ state: "open", limit: 500 });
  if (listed) takeNews(open);
  else alerts.value = merged(alerts.value, open);
  listed = true;
  // What was open when this was asked, and is not any more, ended while nobody listened.
  for (const alert of open) ended.delete(keyOf(alert));
  alerts.value = alerts.value.filter((alert) => alert.state !== "open" || !ended.has(keyOf(alert)));
}

/** Who leaves the list has seen what was new in it. */
export function seen(): void {
  fresh.value = new Set();
}

/** Everything anew; what fails is said and tried again when the stream comes back. */
export async function load(): Promise<void> {
  try {
    await Promise.all([loadOverview(), loadAgents(), loadOpen()]);
    trouble.value = "";
  } catch (error) {
    if (!unknown(error)) trouble.value = (error as Error).message;
  }
}

/** Whether an error says that nobody is signed in; then the page asks for it. */
export function unknown(error: unknown): boolean {
  if (!(error instanceof api.Refused) || error.status !== 401) return false;
  signedOut.value = { oidc: error.oidc };
  live.stop();
  return true;
}

function takeTiles(news: Tile[]): void {
  const all = new Map(tiles.value ?? []);
  for (const tile of news) all.set(tile.agent, tile);
  tiles.value = all;
  slow.value = now();
  if (news.some((tile) => !agents.value.has(tile.agent))) loadAgents().catch(() => undefined);
}

/** An alert as an answer gave it, which is no news to who asked. */
export function putAlert(alert: Alert): void {
  alerts.value = merged(alerts.value, [alert]);
}

/** Alerts as the stream tells them, or as they opened while there was none: those that were not known are told of. */
function takeNews(told: Alert[]): void {
  const known = new Set(alerts.value.map(keyOf));
  const news = told.filter((alert) => alert.state === "open" && !known.has(keyOf(alert)));
  alerts.value = merged(alerts.value, told);
  if (!news.length) return;
  fresh.value = new Set([...fresh.value, ...news.map(keyOf)]);
  announce(news);
}

export function looked(key: string): void {
  if (!fresh.value.has(key)) return;
  fresh.value = new Set([...fresh.value].filter((one) => one !== key));
}

export async function leave(): Promise<void> {
  await api.signOut();
  signedOut.value = { oidc: me.value?.oidc ?? null };
  me.value = null;
  live.stop();
}

let started = false;
const STREAM_MS = 2_000;

export async function begin(): Promise<void> {
  try {
    // Both at once: where nobody need sign in, the first picture does not wait for the name.
    const [who] = await Promise.all([api.me(), loadOverview()]);
    me.value = who;
    signedOut.value = null;
    trouble.value = "";
  } catch (error) {
    if (unknown(error)) return;
    trouble.value = (error as Error).message;
    setTimeout(begin, 5_000);
    return;
  }
  if (!started) live.returned.subscribe((times) => void (times > 0 && load()));
  started = true;
  live.start({ overview: takeTiles, alert: (alert) => takeNews([alert]), refused: () => void api.me().catch(unknown) });
  // What is asked before the stream has begun may change unheard. Where it does not begin, the page is better than none.
  await Promise.race([live.listening, new Promise((later) => setTimeout(later, STREAM_MS))]);
  await load();
}

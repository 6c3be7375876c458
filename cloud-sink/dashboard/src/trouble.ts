// Which turbine needs a person first.
import type { Tile, TileState } from "./types.ts";

/** What a tile says: the sink's state, or `stale` where the sink says well of data that are old. */
export type Shown = TileState | "stale";

/** Worst first. */
export const ORDER: Shown[] = ["critical", "silent", "warning", "failing", "stale", "new", "well"];

export const STATE_WORDS: Record<Shown, string> = {
  critical: "Critical", silent: "Silent", warning: "Warning", failing: "Failing", stale: "Stale", new: "New", well: "Well",
};

export const STATE_MEANS: Record<Shown, string> = {
  critical: "A critical alert is open",
  silent: "Nothing comes from the turbine",
  warning: "An alert is open",
  failing: "A device or the disk fails",
  stale: "The last values are old",
  new: "Not heard from yet",
  well: "Fresh data, no alert open",
};

const LEAST_STALE_MS = 15_000;

/** Whether a value is too old to be called current: three intervals of its device, and at least 15 s. */
export const isStale = (time_ms: number, now: number, interval_ms = 0): boolean =>
  now - time_ms > Math.max(LEAST_STALE_MS, 3 * interval_ms);

/** What to show of a turbine. One whose data are old is never well, whatever the last answer said. */
export function shownState(tile: Tile, now: number, interval_ms: number): Shown {
  if (tile.state !== "well") return tile.state;
  if (!tile.online) return "stale";
  const last = tile.wind?.time_ms ?? tile.seen_ms;
  return last === null || isStale(last, now, interval_ms) ? "stale" : "well";
}

/** When something last came from it: the agent tells of itself less often than its wind is read. */
export function lastSeen({ seen_ms, wind }: Tile): number | null {
  return wind && (seen_ms === null || wind.time_ms > seen_ms) ? wind.time_ms : seen_ms;
}

export interface Ranked {
  tile: Tile;
  shown: Shown;
}

const byName = new Intl.Collator("en", { numeric: true }).compare;

/** Worst first, then by name; turbine-9 before turbine-10. */
export const byTrouble = (a: Ranked, b: Ranked): number =>
  ORDER.indexOf(a.shown) - ORDER.indexOf(b.shown) || byName(a.tile.agent, b.tile.agent);

/** Whether a text is found in what a tile says. */
export function says(tile: Tile, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return true;
  const words = [tile.agent, ...tile.locations, ...tile.open.flatMap((a) => [a.kind, a.evidence, a.device, a.channel])];
  return words.some((word) => word.toLowerCase().includes(wanted));
}

/** How many turbines are in each state. */
export function tally(ranked: Ranked[]): Map<Shown, number> {
  const counts = new Map<Shown, number>();
  for (const { shown } of ranked) counts.set(shown, (counts.get(shown) ?? 0) + 1);
  return counts;
}

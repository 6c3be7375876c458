// Spans of time that charts show, and how they are zoomed and moved.
import { DAY, HOUR, MINUTE, SECOND } from "./time.ts";

export interface Span {
  from: number;
  to: number;
}

export interface Range {
  key: string;
  label: string;
  ms: number;
}

export const RANGES: Range[] = [
  { key: "5min", label: "5 min", ms: 5 * MINUTE },
  { key: "1h", label: "1 h", ms: HOUR },
  { key: "24h", label: "24 h", ms: DAY },
  { key: "7d", label: "7 d", ms: 7 * DAY },
  { key: "30d", label: "30 d", ms: 30 * DAY },
  { key: "1y", label: "1 y", ms: 365 * DAY },
];

const SHORTEST = 5 * SECOND;
const LONGEST = 3 * 365 * DAY;

/** The range by its key; the first where the key says nothing. */
export const rangeOf = (key: string | undefined): Range => RANGES.find((range) => range.key === key) ?? (RANGES[0] as Range);

export const ending = (to: number, ms: number): Span => ({ from: to - ms, to });

/** The span within what can be asked: no shorter than some readings, and with nothing but future never. */
export function held(span: Span, now: number): Span {
  const middle = (span.from + span.to) / 2;
  const ms = Math.min(LONGEST, Math.max(SHORTEST, span.to - span.from));
  const to = Math.min(middle + ms / 2, now + ms * 0.1);
  return { from: Math.round(to - ms), to: Math.round(to) };
}

/** Makes the span `by` times as long, with the time `about` staying where it is. */
export function zoomed(span: Span, about: number, by: number, now: number): Span {
  const ms = Math.min(LONGEST, Math.max(SHORTEST, (span.to - span.from) * by));
  const share = (about - span.from) / (span.to - span.from);
  const from = about - share * ms;
  return held({ from, to: from + ms }, now);
}

/** Moves the span by a share of its length; a positive one goes to later times. */
export function moved(span: Span, share: number, now: number): Span {
  const by = (span.to - span.from) * share;
  return held({ from: span.from + by, to: span.to + by }, now);
}

/** How many points to ask for: one a pixel, of which more would not be seen. */
export const pointsFor = (width: number): number => Math.min(4_000, Math.max(100, Math.round(width)));

/** How often a live chart asks anew where it cannot put readings behind others: each time some pixels have passed. */
export const refreshEvery = (span: Span): number => Math.min(5 * MINUTE, Math.max(5 * SECOND, (span.to - span.from) / 300));

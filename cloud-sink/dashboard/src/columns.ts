// Series as columns of one length: time, least, greatest, mean, score. A gap is an entry of nulls.
import type { Column, SeriesChannel } from "./types.ts";

export interface Columns {
  time: number[];
  min: Column;
  max: Column;
  mean: Column;
  score: Column;
}

export const empty = (): Columns => ({ time: [], min: [], max: [], mean: [], score: [] });

export function fromSeries(series: SeriesChannel): Columns {
  const { time_ms, min, max, mean, score } = series;
  return { time: [...time_ms], min: [...min], max: [...max], mean: [...mean], score: score ? [...score] : time_ms.map(() => null) };
}

function push(columns: Columns, time: number, value: number | null, score: number | null): void {
  columns.time.push(time);
  columns.min.push(value);
  columns.max.push(value);
  columns.mean.push(value);
  columns.score.push(score);
}

/**
 * The longest pause that is no gap, in a picture of so many points: as the sink has it, so that a chart that was open all
 * the time and one that is opened anew are the same.
 */
export const joinedMs = (span_ms: number, points: number, interval_ms: number): number =>
  2.5 * Math.max(Math.floor(span_ms / Math.max(1, points)) + 1, interval_ms);

/**
 * Puts a live reading behind the others. What is not later than the last is known already, for after a reconnection the
 * sink may tell a row twice. A longer pause than `joined_ms` becomes a gap.
 */
export function append(columns: Columns, time: number, value: number, score: number | null, joined_ms: number): boolean {
  const last = columns.time.at(-1);
  if (last !== undefined) {
    if (time <= last) return false;
    if (time - last > joined_ms) push(columns, Math.floor((last + time) / 2), null, null);
  }
  push(columns, time, value, score);
  return true;
}

/** Forgets what is before `from`, but for the last entry before it, from which a line comes in. */
export function trim(columns: Columns, from: number): void {
  let cut = 0;
  while (cut + 1 < columns.time.length && (columns.time[cut + 1] ?? 0) < from) cut += 1;
  if (cut === 0) return;
  for (const column of [columns.time, columns.min, columns.max, columns.mean, columns.score]) column.splice(0, cut);
}

/** The last value that there is, with its time. */
export function latest(columns: Columns): { time: number; value: number } | null {
  for (let i = columns.time.length - 1; i >= 0; i -= 1) {
    const value = columns.mean[i];
    if (value !== null && value !== undefined) return { time: columns.time[i] ?? 0, value };
  }
  return null;
}

/** Sparser than any column may be: what one line has no entry for is undefined, and is no gap of that line. */
export type Sparse = (number | null | undefined)[];

/** Lines of different times on one axis. */
export function align(lines: { time: number[]; columns: Column[] }[]): { time: number[]; columns: Sparse[][] } {
  const first = lines[0];
  if (first && lines.every((line) => line.time === first.time)) return { time: first.time, columns: lines.map((line) => line.columns) };
  const time = [...new Set(lines.flatMap((line) => line.time))].sort((a, b) => a - b);
  const place = new Map(time.map((ms, index) => [ms, index]));
  const columns = lines.map((line) =>
    line.columns.map((column) => {
      const spread: Sparse = new Array<number | null | undefined>(time.length).fill(undefined);
      line.time.forEach((ms, index) => {
        spread[place.get(ms) ?? 0] = column[index];
      });
      // A gap lasts until the line's next value, however many entries others have in it.
      for (let i = 1; i < spread.length; i += 1) if (spread[i] === undefined && spread[i - 1] === null) spread[i] = null;
      return spread;
    }),
  );
  return { time, columns };
}

export interface Summary {
  least: number;
  greatest: number;
  mean: number;
  gaps: number;
}

/** What a chart shows between two times, in figures: for those who do not see it. */
export function summary(columns: Columns, from: number, to: number): Summary | null {
  let [least, greatest, sum, n, gaps, inGap] = [Infinity, -Infinity, 0, 0, 0, false];
  columns.time.forEach((time, i) => {
    if (time < from || time > to) return;
    const mean = columns.mean[i];
    if (mean === null || mean === undefined) {
      if (!inGap) gaps += 1;
      inGap = true;
      return;
    }
    inGap = false;
    least = Math.min(least, columns.min[i] ?? mean);
    greatest = Math.max(greatest, columns.max[i] ?? mean);
    sum += mean;
    n += 1;
  });
  return n ? { least, greatest, mean: sum / n, gaps } : null;
}

// Gets the series that a stack of charts shows, and puts live readings behind them.
import { signal } from "@preact/signals";
import * as api from "../api.ts";
import { append, empty, fromSeries, joinedMs, trim, type Columns } from "../columns.ts";
import type { Span } from "../ranges.ts";
import { unknown } from "../state.ts";
import type { Level, LiveReadings, Series } from "../types.ts";
import { keyOf, type Source } from "./panels.ts";

// Long enough that a turn of the wheel is one question, short enough to seem at once.
const SETTLE_MS = 140;

export class Loader {
  readonly columns = new Map<string, Columns>();
  /** Moves whenever columns did. */
  readonly version = signal(0);
  /** From the start: before the first answer nobody knows that nothing was read. */
  readonly busy = signal(true);
  readonly error = signal("");
  level: Level = "reading";
  private sources: Source[] = [];
  private span: Span = { from: 0, to: 0 };
  private points = 1;
  private asked: AbortController | null = null;
  private settling: ReturnType<typeof setTimeout> | undefined;

  /** Asks for a span; what was asked before and has not come is thrown away. The old picture stays until then. */
  show(sources: Source[], span: Span, points: number, atOnce = false): void {
    this.sources = sources;
    this.span = span;
    this.points = points;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => void this.ask(), atOnce ? 0 : SETTLE_MS);
  }

  private async ask(): Promise<void> {
    this.asked?.abort();
    const asked = new AbortController();
    this.asked = asked;
    this.busy.value = true;
    const { span: { from, to }, points } = this;
    try {
      const answers = await Promise.all(
        devicesOf(this.sources).map(({ agent, device, channels }) =>
          api.series({ agent, device, channels, from, to, points }, asked.signal)));
      if (this.asked !== asked) return;
      this.take(answers);
      this.error.value = "";
    } catch (error) {
      if (asked.signal.aborted || unknown(error)) return;
      this.error.value = (error as Error).message;
    } finally {
      if (this.asked === asked) this.busy.value = false;
    }
  }

  private take(answers: Series[]): void {
    const before = new Map(this.columns);
    this.columns.clear();
    for (const source of this.sources) this.columns.set(source.key, empty());
    for (const answer of answers) {
      this.level = answer.level;
      for (const channel of answer.channels) {
        const key = keyOf(answer.agent, answer.device, channel.channel);
        const columns = fromSeries(channel);
        if (answer.level === "reading") keepNewer(columns, before.get(key), answer.to_ms, this.joined(key));
        this.columns.set(key, columns);
      }
    }
    this.version.value += 1;
  }

  /** Live readings, where the picture shows single ones. */
  hear({ agent, device, rows }: LiveReadings): void {
    if (this.level !== "reading") return;
    let isNew = false;
    for (const source of this.sources) {
      const columns = this.columns.get(source.key);
      if (!columns || source.agent !== agent || source.device !== device) continue;
      const joined = this.joined(source.key);
      for (const { time_ms, values, scores } of rows) {
        const value = values[source.channel];
        // One poll without an answer is no gap yet; a pause is.
        if (value === undefined) continue;
        isNew = append(columns, time_ms, value, scores[source.channel] ?? null, joined) || isNew;
      }
      trim(columns, this.span.from);
    }
    if (isNew) this.version.value += 1;
  }

  private joined(key: string): number {
    const { from, to } = this.span;
    return joinedMs(to - from, this.points, this.sources.find((source) => source.key === key)?.interval_ms ?? 0);
  }

  /** Where the live window is now: what lies before it may be forgotten. */
  follow(span: Span): void {
    this.span = span;
  }

  stop(): void {
    clearTimeout(this.settling);
    this.asked?.abort();
  }
}

/** Readings that the stream told while the question was on its way. */
function keepNewer(columns: Columns, before: Columns | undefined, asked_to: number, joined_ms: number): void {
  const last = columns.time.at(-1) ?? asked_to;
  before?.time.forEach((time, i) => {
    const value = before.mean[i];
    if (time > last && value !== null && value !== undefined) append(columns, time, value, before.score[i] ?? null, joined_ms);
  });
}

/** One question a device. */
function devicesOf(sources: Source[]): { agent: string; device: string; channels: string[] }[] {
  const asked = new Map<string, { agent: string; device: string; channels: string[] }>();
  for (const { agent, device, channel } of sources) {
    const one = asked.get(`${agent}/${device}`) ?? { agent, device, channels: [] };
    one.channels.push(channel);
    asked.set(`${agent}/${device}`, one);
  }
  return [...asked.values()];
}

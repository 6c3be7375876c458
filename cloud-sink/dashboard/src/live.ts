// What the sink tells by itself: one stream of events, opened again whenever it ends.
import { signal } from "@preact/signals";
import type { Alert, LiveReadings, Tile } from "./types.ts";
import { now, tell } from "./clock.ts";

export type Connection = { state: "connecting" | "live" | "reconnecting" } | { state: "silent"; since: number };

export const connection = signal<Connection>({ state: "connecting" });

/** Counts the times that the stream came back: what is shown may have missed something, and is asked anew. */
export const returned = signal(0);

interface Told {
  overview: (tiles: Tile[]) => void;
  alert: (alert: Alert) => void;
  /** The stream was refused, not just broken: perhaps somebody has to sign in. */
  refused: () => void;
}

type Reader = (readings: LiveReadings) => void;

// The sink says something every 15 s; after two of these it is gone, whatever the line says.
const SILENT_MS = 35_000;
const SOON_MS = 1_000;
const LATEST_MS = 15_000;

const readers = new Map<string, Set<Reader>>();
let told: Told | null = null;
let source: EventSource | null = null;
/** The stream before, listened to until the new one has begun: nothing is missed between the two, and twice is as once. */
let leaving: EventSource | null = null;
let opened = "";
let heard = 0;
let wait = SOON_MS;
let again: ReturnType<typeof setTimeout> | undefined;
let wasLive = false;
let begun: () => void = () => undefined;

/** Whoever asks from then on misses nothing that changes. */
export const listening = new Promise<void>((resolve) => (begun = resolve));
let watching: ReturnType<typeof setInterval> | undefined;

export function start(listeners: Told): void {
  told = listeners;
  heard = now();
  open();
  watching ??= setInterval(watch, 5_000);
}

/** Readings of a turbine, for as long as somebody wants them. */
export function follow(agent: string, reader: Reader): () => void {
  const set = readers.get(agent) ?? new Set();
  readers.set(agent, set.add(reader));
  reopen();
  return () => {
    set.delete(reader);
    if (set.size === 0) readers.delete(agent);
    reopen();
  };
}

const wanted = (): string => {
  const names = [...readers.keys()].sort().map(encodeURIComponent);
  return names.length ? `?agent=${names.join(",")}` : "";
};

/** Once for all that change in one turn, for a view that goes and one that comes often want the same. */
function reopen(): void {
  queueMicrotask(() => {
    if (told && source && wanted() !== opened) open();
  });
}

function open(): void {
  clearTimeout(again);
  // One that has not begun yet has nothing to miss.
  if (leaving) source?.close();
  else leaving = source;
  opened = wanted();
  const stream = new EventSource(`/api/v1/live${opened}`);
  source = stream;
  const on = <T>(name: string, take: (body: T) => void) =>
    stream.addEventListener(name, (event) => {
      if (stream !== source && stream !== leaving) return;
      heard = now();
      take(JSON.parse((event as MessageEvent<string>).data) as T);
    });
  on<{ now_ms: number }>("hello", (body) => hello(stream, body));
  on<{ now_ms: number; turbines: Tile[] }>("overview", (body) => {
    tell(body.now_ms);
    told?.overview(body.turbines);
  });
  on<Alert>("alert", (alert) => told?.alert(alert));
  on<LiveReadings>("readings", (body) => readers.get(body.agent)?.forEach((reader) => reader(body)));
  stream.onerror = () => {
    if (stream === source) broken(stream);
  };
}

function hello(stream: EventSource, { now_ms }: { now_ms: number }): void {
  tell(now_ms);
  if (stream !== source) return;
  leaving?.close();
  leaving = null;
  heard = now();
  wait = SOON_MS;
  const { state } = connection.peek();
  if (state !== "live") connection.value = { state: "live" };
  if (state !== "live" && wasLive) returned.value += 1;
  wasLive = true;
  begun();
}

function broken(stream: EventSource): void {
  // The browser's own attempts have no bound on how often; ours wait longer each time.
  stream.close();
  if (connection.peek().state === "live") connection.value = { state: "reconnecting" };
  told?.refused();
  clearTimeout(again);
  again = setTimeout(open, wait);
  wait = Math.min(LATEST_MS, wait * 2);
}

function watch(): void {
  const quiet = now() - heard;
  if (quiet < SILENT_MS) return;
  connection.value = { state: "silent", since: heard };
  if (source?.readyState === EventSource.OPEN) broken(source);
}

export function stop(): void {
  clearTimeout(again);
  clearInterval(watching);
  watching = undefined;
  leaving?.close();
  source?.close();
  leaving = source = null;
}

// What the sink tells by itself: one stream of events, opened again whenever it ends; or that of another page of this
// browser, where nobody looks at this one.
import { signal } from "@preact/signals";
import type { Alert, LiveReadings, Tile } from "./types.ts";
import { now, tell } from "./clock.ts";
import * as pages from "./pages.ts";

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
/** Whether another page's stream has to do. */
let resting = false;
/** Whether something may have been missed that is not told again. */
let missed = false;
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

pages.onLook(wake);
pages.hear((word) => {
  if (!document.hidden || watching === undefined) return;
  if ("gone" in word) return wake();
  take(word.event, word.data);
  if (!resting && pages.mayRest(word)) rest();
});
addEventListener("pagehide", () => source && pages.leave());

function rest(): void {
  close();
  resting = missed = true;
  connection.value = { state: "live" };
}

function wake(): void {
  if (!resting) return;
  resting = false;
  open();
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
  for (const name of ["hello", "overview", "alert", "readings"]) {
    stream.addEventListener(name, (event) => {
      if (stream !== source && stream !== leaving) return;
      const { data } = event as MessageEvent<string>;
      take(name, data);
      if (name === "hello" && stream === source) begins();
      // Readings are for those who look at them.
      if (name !== "readings") pages.pass(name, data);
    });
  }
  stream.onerror = () => {
    if (stream === source) broken(stream);
  };
}

/** Takes in what this page's stream has brought, or another's. */
function take(name: string, data: string): void {
  const body: unknown = JSON.parse(data);
  if (name === "hello") tell((body as { now_ms: number }).now_ms);
  if (name === "overview") {
    const { now_ms, turbines } = body as { now_ms: number; turbines: Tile[] };
    tell(now_ms);
    told?.overview(turbines);
  }
  if (name === "alert") told?.alert(body as Alert);
  if (name === "readings") readers.get((body as LiveReadings).agent)?.forEach((reader) => reader(body as LiveReadings));
  // After the sink's clock was told, by which it is measured.
  heard = now();
}

/** This page's stream is there: the one before is not needed any more. */
function begins(): void {
  leaving?.close();
  leaving = null;
  wait = SOON_MS;
  const { state } = connection.peek();
  if (state !== "live") connection.value = { state: "live" };
  if (missed || (state !== "live" && wasLive)) returned.value += 1;
  missed = false;
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
  if (resting) return wake();
  connection.value = { state: "silent", since: heard };
  if (source?.readyState === EventSource.OPEN) broken(source);
}

export function stop(): void {
  clearInterval(watching);
  watching = undefined;
  resting = false;
  if (source) pages.leave();
  close();
}

function close(): void {
  clearTimeout(again);
  leaving?.close();
  source?.close();
  leaving = source = null;
}

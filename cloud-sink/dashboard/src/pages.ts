// The pages of one browser. It keeps six connections to a sink over HTTP/1.1 and no more, so that with a stream in each the
// seventh page would wait for ever. A page that nobody looks at therefore lets go of its stream, as long as another page
// passes on what it hears.

/** What a page that has a stream tells the others: an event of it, or that it goes. */
export type Word = { from: number; hidden: boolean } & ({ event: string; data: string } | { gone: true });

/** How long nobody has to look before a page lets go: who only glances at another page must not wait when he is back, ms. */
export const REST_AFTER_MS = 10_000;

/** This page among the others. */
export const own = Math.random();

const channel = new BroadcastChannel("windward-live");

export function pass(event: string, data: string): void {
  channel.postMessage({ from: own, hidden: document.hidden, event, data } satisfies Word);
}

export function leave(): void {
  channel.postMessage({ from: own, hidden: document.hidden, gone: true } satisfies Word);
}

export function hear(take: (word: Word) => void): void {
  channel.onmessage = ({ data }: MessageEvent<Word>) => take(data);
}

/** Since when nobody looks at this page; null: somebody does. One that nobody has seen yet need not wait. */
let unseen: number | null = document.hidden ? -Infinity : null;

export function onLook(look: () => void): void {
  document.addEventListener("visibilitychange", () => {
    unseen = document.hidden ? performance.now() : null;
    if (!document.hidden) look();
  });
}

/** Whether this page may do without a stream, having heard of another's. */
export const mayRest = (word: Word): boolean => unseen !== null && yields(own, performance.now() - unseen, word);

/** Of two that nobody looks at, the one with the lower number keeps its stream. */
export function yields(own: number, unseen_ms: number, word: Word): boolean {
  return unseen_ms >= REST_AFTER_MS && (!word.hidden || word.from < own);
}

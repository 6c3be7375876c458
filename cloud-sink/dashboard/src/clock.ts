// The sink's time, as the page sees it move.
import { signal } from "@preact/signals";

/** The sink's clock minus ours, ms: a browser's clock may be wrong, and age is judged by the sink's. */
let skew = 0;

export const now = (): number => Date.now() + skew;

/** Moves once a second, and once in five; nothing moves while nobody looks. */
export const second = signal(now());
export const slow = signal(now());

export function tell(now_ms: number): void {
  skew = now_ms - Date.now();
}

function tick(): void {
  if (document.hidden) return;
  second.value = now();
  if (second.value - slow.value >= 5_000 || second.value < slow.value) slow.value = second.value;
}

setInterval(tick, 1_000);
document.addEventListener("visibilitychange", () => {
  slow.value = now();
  tick();
});

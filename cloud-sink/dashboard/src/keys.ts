// The keyboard: letters that go to views, and a way through tiles and rows.
import { signal } from "@preact/signals";
import { go } from "./router.ts";

export const dialog = signal<"" | "help" | "search">("");

/** Somebody wants to acknowledge the alert that is being opened: its form takes the focus when it comes. */
export const acknowledging = signal(false);

const VIEWS: Record<string, string> = { o: "#/", a: "#/alerts", d: "#/delivery", s: "#/statistics" };
const PREFIX_MS = 1_500;
let prefixAt = -Infinity;

export const HELP: [string, string][] = [
  ["/", "Search turbines, alerts and views"],
  ["g o", "Overview"], ["g a", "Alerts"], ["g d", "Delivery"], ["g s", "Statistics"],
  ["j k ↑ ↓ ← →", "Through tiles and alerts"],
  ["Enter", "Open"], ["a", "Acknowledge the alert"],
  ["← →  + −", "In a chart: move, zoom"], ["Home", "In a chart: back to live"],
  ["Esc", "Close"], ["?", "This help"],
];

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  !(target instanceof HTMLInputElement && /^(checkbox|radio|button)$/.test(target.type));

export function listen(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (pressed(event.key, event.target)) event.preventDefault();
  });
}

function pressed(key: string, target: EventTarget | null): boolean {
  acknowledging.value = false;
  if (performance.now() - prefixAt < PREFIX_MS && VIEWS[key]) {
    prefixAt = -Infinity;
    go(VIEWS[key]);
    return true;
  }
  prefixAt = key === "g" ? performance.now() : -Infinity;
  if (key === "/" || key === "?") {
    dialog.value = key === "/" ? "search" : "help";
    return true;
  }
  if (key === "a") return acknowledge(target);
  return step(key, target);
}

/** The form of the alert that is open; else the alert in focus is opened, and its form after it. */
function acknowledge(target: EventTarget | null): boolean {
  const row = target instanceof HTMLElement ? target.closest<HTMLAnchorElement>("a[data-alert]") : null;
  if (row && !row.ariaCurrent) {
    acknowledging.value = true;
    row.click();
    return true;
  }
  document.querySelector<HTMLElement>("[data-acknowledge]")?.focus();
  return true;
}

function step(key: string, target: EventTarget | null): boolean {
  const inChart = target instanceof HTMLElement && target.closest("[data-chart], [role=listbox]");
  if (inChart) return false;
  const all = [...document.querySelectorAll<HTMLElement>("[data-step]")];
  const at = all.indexOf(document.activeElement as HTMLElement);
  const isArrow = key.startsWith("Arrow");
  // Arrows scroll the page until somebody is among the tiles.
  if (!all.length || (isArrow && at < 0)) return false;
  const row = columns(all);
  const by: Record<string, number> = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row };
  const move = by[key];
  if (move === undefined) return false;
  const next = at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + move));
  all[next]?.focus();
  all[next]?.scrollIntoView({ block: "nearest" });
  return true;
}

/** How many stand beside each other. */
function columns(all: HTMLElement[]): number {
  const top = (element: HTMLElement) => Math.round(element.getBoundingClientRect().top);
  const first = all[0];
  if (!first) return 1;
  const other = all.findIndex((element) => Math.abs(top(element) - top(first)) > 8);
  return other < 0 ? all.length : Math.max(1, other);
}

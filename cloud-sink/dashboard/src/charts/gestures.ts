// Moving and zooming a stack of charts by wheel, shift-drag, touch and keys. The drag that selects is uPlot's own.
import { moved, zoomed, type Span } from "../ranges.ts";
import { LEFT, RIGHT } from "./plot.ts";

export interface Moves {
  span: () => Span;
  now: () => number;
  show: (span: Span) => void;
  home: () => void;
}

// A wheel that began to turn beside the chart scrolls the page on, though the chart comes under the pointer.
const SCROLLING_MS = 400;

export function gestures(place: HTMLElement, moves: Moves): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const share = (x: number): number => {
    const { left, width } = place.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - left - LEFT) / (width - LEFT - RIGHT)));
  };
  const about = (x: number): number => moves.span().from + share(x) * (moves.span().to - moves.span().from);
  wheel(place, moves, about, signal);
  pointers(place, moves, about, share, signal);
  place.addEventListener("keydown", (event) => key(event, moves), { signal });
  return () => stop.abort();
}

type At = (x: number) => number;

function wheel(place: HTMLElement, moves: Moves, about: At, signal: AbortSignal): void {
  let outside = -Infinity;
  const elsewhere = (event: WheelEvent) => {
    if (!place.contains(event.target as Node)) outside = event.timeStamp;
  };
  addEventListener("wheel", elsewhere, { signal, passive: true });
  const turn = (event: WheelEvent) => {
    const isPlot = event.target instanceof Element && event.target.closest(".u-over");
    if (!isPlot) return;
    if (event.timeStamp - outside < SCROLLING_MS) {
      outside = event.timeStamp;
      return;
    }
    event.preventDefault();
    const { width } = place.getBoundingClientRect();
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const turned = isSideways && event.deltaX === 0 ? event.deltaY : isSideways ? event.deltaX : event.deltaY;
    if (isSideways) moves.show(moved(moves.span(), turned / width, moves.now()));
    else moves.show(zoomed(moves.span(), about(event.clientX), Math.exp(Math.max(-80, Math.min(80, turned)) * 0.004), moves.now()));
  };
  place.addEventListener("wheel", turn, { signal, passive: false });
}

/** One finger or shift-drag moves, two fingers zoom. */
function pointers(place: HTMLElement, moves: Moves, about: At, share: At, signal: AbortSignal): void {
  const down = new Map<number, number>();
  const spread = (): number => {
    const [a = 0, b = 0] = [...down.values()].map(share);
    return Math.max(0.02, Math.abs(a - b));
  };
  const press = (event: PointerEvent) => {
    const isPlot = event.target instanceof Element && event.target.closest(".u-over");
    if (!isPlot || (event.pointerType === "mouse" && !event.shiftKey)) return;
    down.set(event.pointerId, event.clientX);
  };
  const move = (event: PointerEvent) => {
    const before = down.get(event.pointerId);
    if (before === undefined) return;
    const [wide, at] = [spread(), event.clientX];
    down.set(event.pointerId, at);
    if (down.size === 1) moves.show(moved(moves.span(), share(before) - share(at), moves.now()));
    if (down.size === 2) {
      const [a = 0, b = 0] = [...down.values()];
      moves.show(zoomed(moves.span(), about((a + b) / 2), wide / spread(), moves.now()));
    }
  };
  const lift = (event: PointerEvent) => void down.delete(event.pointerId);
  place.addEventListener("pointerdown", press, { signal });
  addEventListener("pointermove", move, { signal });
  addEventListener("pointerup", lift, { signal });
  addEventListener("pointercancel", lift, { signal });
}

function key(event: KeyboardEvent, moves: Moves): void {
  const { from, to } = moves.span();
  const middle = (from + to) / 2;
  const show: Record<string, () => Span> = {
    ArrowLeft: () => moved({ from, to }, -0.15, moves.now()),
    ArrowRight: () => moved({ from, to }, 0.15, moves.now()),
    "+": () => zoomed({ from, to }, middle, 0.5, moves.now()),
    "=": () => zoomed({ from, to }, middle, 0.5, moves.now()),
    "-": () => zoomed({ from, to }, middle, 2, moves.now()),
  };
  const next = show[event.key];
  if (!next && event.key !== "Home") return;
  event.preventDefault();
  event.stopPropagation();
  if (next) moves.show(next());
  else moves.home();
}

// The time that a stack of charts shows, and the series in it.
import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { now, second } from "../clock.ts";
import { follow, returned } from "../live.ts";
import { ending, held, pointsFor, rangeOf, refreshEvery, type Span } from "../ranges.ts";
import { Loader } from "./loader.ts";
import type { Source } from "./panels.ts";

export interface Window {
  span: Signal<Span>;
  /** Moving with the time. */
  live: Signal<boolean>;
  range: Signal<string>;
  width: Signal<number>;
  show: (span: Span) => void;
  choose: (key: string) => void;
  home: () => void;
  measured: (width: number) => void;
}

/** What time the charts show: a range that ends now and moves, or `fixed`, or whatever somebody has zoomed to. */
export function useWindow(fixed?: Span): Window {
  const first = rangeOf(undefined);
  const span = useSignal<Span>(fixed ?? ending(now(), first.ms));
  const live = useSignal(!fixed);
  const range = useSignal(fixed ? "" : first.key);
  const width = useSignal(0);
  const choose = (key: string) => {
    const { ms } = rangeOf(key);
    range.value = key;
    live.value = true;
    span.value = ending(now(), ms);
  };
  const show = (next: Span) => {
    live.value = false;
    range.value = "";
    span.value = held(next, now());
  };
  const home = () => (fixed ? (span.value = fixed) : choose(range.value || first.key));
  return { span, live, range, width, show, choose, home: () => void home(), measured: (px) => (width.value = px) };
}

/** Series for the window, asked again when it was moved by hand, and kept up to date while it is live. */
export function useSeries(sources: Source[], view: Window): Loader {
  const loader = useMemo(() => new Loader(), []);
  const points = pointsFor(view.width.value || 800);
  const still = view.live.value ? "" : `${view.span.value.from} ${view.span.value.to}`;
  const what = [view.range.value, still, points, returned.value, ...sources.map((source) => source.key)].join("|");
  useEffect(() => loader.show(sources, view.span.peek(), points, view.live.peek()), [what]);
  useEffect(() => () => loader.stop(), []);
  const told = view.live.value ? [...new Set(sources.map((source) => source.agent))].sort().join("\n") : "";
  useEffect(() => {
    const stops = told.split("\n").filter(Boolean).map((name) => follow(name, (readings) => loader.hear(readings)));
    return () => stops.forEach((stop) => stop());
  }, [told]);
  useLive(loader, sources, view, points);
  return loader;
}

function useLive(loader: Loader, sources: Source[], view: Window, points: number): void {
  useEffect(() => {
    let asked = now();
    return second.subscribe((time) => {
      const { from, to } = view.span.peek();
      // Less than a pixel is no move.
      if (!view.live.peek() || time - to < (to - from) / 1_500) return;
      view.span.value = ending(time, to - from);
      loader.follow(view.span.peek());
      if (loader.level === "reading" || time - asked < refreshEvery({ from, to })) return;
      asked = time;
      loader.show(sources, view.span.peek(), points, true);
    });
  }, [loader, sources, points]);
}

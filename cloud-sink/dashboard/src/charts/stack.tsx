// Charts one above the other on one axis of time: moved and zoomed together, with the alerts in a lane above.
import { effect, type ReadonlySignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { now } from "../clock.ts";
import { latest, summary } from "../columns.ts";
import { prefs } from "../prefs.ts";
import type { Span } from "../ranges.ts";
import { exact } from "../time.ts";
import { figure, shownUnit } from "../units.ts";
import { Lane } from "./lane.tsx";
import { gestures } from "./gestures.ts";
import { dark, palette } from "./palette.ts";
import { newest, type Band, type Panel } from "./panels.ts";
import { dataOf, heightOf, makePlot } from "./plot.ts";

interface Props {
  label: string;
  /** Made anew from the columns whenever `version` moves. */
  panels: () => Panel[];
  version: ReadonlySignal<number>;
  span: ReadonlySignal<Span>;
  bands: Band[];
  busy: ReadonlySignal<boolean>;
  onSpan: (span: Span) => void;
  onHome: () => void;
  onWidth: (width: number) => void;
  children?: ComponentChildren;
}

let stacks = 0;

export function ChartStack(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const sync = useMemo(() => `stack-${(stacks += 1)}`, []);
  const width = useWidth(place, props.onWidth);
  const panels = props.panels();
  const { unit, zone } = prefs.value;
  const shape = [unit, zone, dark.value, width, ...panels.flatMap(shapeOf)].join("|");
  const latestProps = useRef(props);
  latestProps.current = props;
  usePlots(place, panels, shape, width, sync, latestProps);
  useGestures(place, latestProps);
  return (
    <div class="stack" ref={place}>
      <Lane bands={props.bands} span={props.span} onSpan={props.onSpan} />
      <div class="stack-charts" data-chart role="group" tabIndex={0} aria-label={`${props.label}. Arrow keys move, plus and minus zoom, Home goes back.`}>
        {panels.map((panel, index) => (
          <figure class="panel" key={panel.key}>
            <figcaption>
              <b>{panel.title}</b> <span class="soft">{shownUnit(panel.unit, unit)}</span>
              {!props.busy.value && !panel.lines.some((line) => latest(line.columns)) && <span class="soft">nothing was read in this time</span>}
              <span class="readout soft" data-readout={panel.key} />
            </figcaption>
            <Plot height={heightOf(panel, index === panels.length - 1)} name={panel.key} />
            <p class="unseen">{summaryOf(panel, props.span.peek())}</p>
          </figure>
        ))}
        {!panels.length && <p class="empty">{props.busy.value ? "Reading…" : "Nothing to draw: no channel is chosen, or nothing was read in this time."}</p>}
      </div>
      <p class={props.busy.value ? "busy on" : "busy"} aria-hidden="true">reading…</p>
      {props.children}
    </div>
  );
}

/** What a plot is made of, all but the values. */
const shapeOf = (panel: Panel): string[] =>
  [panel.key, ...panel.lines.map((line) => `${line.key}${line.colour}`), ...panel.thresholds.map((threshold) => threshold.label)];

/** A place for a plot, with its height from the start, so that nothing moves when it comes. */
function Plot({ height, name }: { height: number; name: string }) {
  return <div class="plot" data-plot={name} style={{ height: `${height}px` }} />;
}

function useWidth(place: { current: HTMLDivElement | null }, told: (width: number) => void): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    const measure = () => {
      setWidth(element.clientWidth);
      told(element.clientWidth);
    };
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return width;
}

/** The plots: made when the shape of the stack changes, filled when columns do, moved when the span does. */
function usePlots(place: { current: HTMLDivElement | null }, panels: Panel[], shape: string, width: number, sync: string, props: { current: Props }) {
  const made = useRef<uPlot[]>([]);
  useEffect(() => {
    const element = place.current;
    if (!element || !width || !panels.length) return;
    const read = (panel: Panel, text: string) => {
      const line = [...element.querySelectorAll<HTMLElement>("[data-readout]")].find((one) => one.dataset["readout"] === panel.key);
      if (line) line.textContent = text;
    };
    const look = { palette: palette(), unit: prefs.peek().unit, zone: prefs.peek().zone, narrow: width < 500 };
    const hooks = { sync, now, read, bands: () => props.current.bands, zoom: (span: Span) => props.current.onSpan(span) };
    const places = [...element.querySelectorAll<HTMLElement>("[data-plot]")];
    const plots = panels.map((panel, index) => makePlot(places[index] as HTMLElement, panel, index === panels.length - 1, width, look, hooks));
    const move = (span: Span) => plots.forEach((plot) => plot.setScale("x", { min: span.from, max: span.to }));
    made.current = plots;
    let filled = props.current.version.peek();
    const stop = effect(() => {
      const { from, to } = props.current.span.value;
      const version = props.current.version.value;
      if (version !== filled) fill(plots, props.current.panels(), look.unit);
      filled = version;
      move({ from, to });
    });
    return () => {
      stop();
      plots.forEach((plot) => plot.destroy());
      made.current = [];
    };
  }, [shape]);
  useEffect(() => made.current.forEach((plot) => plot.redraw(false)), [props.current.bands]);
}

function fill(plots: uPlot[], panels: Panel[], unit: Parameters<typeof dataOf>[1]): void {
  // Where the shape changes too, the plots are made anew in a moment.
  if (plots.length !== panels.length) return;
  plots.forEach((plot, index) => {
    const data = dataOf(panels[index] as Panel, unit);
    if (data.length === plot.series.length) plot.setData(data, false);
  });
}

function useGestures(place: { current: HTMLDivElement | null }, props: { current: Props }) {
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    return gestures(element, {
      span: () => props.current.span.peek(), now, show: (span) => props.current.onSpan(span), home: () => props.current.onHome(),
    });
  }, []);
}

/** A chart in a sentence. */
function summaryOf(panel: Panel, span: Span): string {
  const { unit, zone } = prefs.value;
  const lines = panel.lines.map((line) => {
    const told = summary(line.columns, span.from, span.to);
    if (!told) return `${line.label}: nothing read`;
    const of = (value: number) => figure(value, panel.unit, unit);
    const gaps = told.gaps ? `, ${told.gaps} ${told.gaps === 1 ? "gap" : "gaps"}` : "";
    return panel.circle
      ? `${line.label}: directions shown as points${gaps}`
      : `${line.label}: from ${of(told.least)} to ${of(told.greatest)}, mean ${of(told.mean)}${gaps}`;
  });
  return `${panel.title}, ${exact(span.from, zone)} to ${exact(span.to, zone)}. ${lines.join(". ")}.`;
}

/** The same as figures. */
export function ValuesTable({ panels }: { panels: Panel[] }) {
  const { unit, zone } = prefs.value;
  return (
    <details class="values">
      <summary>Newest values of these charts as a table</summary>
      <table>
        <thead><tr><th scope="col">Line</th><th scope="col" class="number">Value</th><th scope="col">Read at</th></tr></thead>
        <tbody>
          {newest(panels).map(({ panel, line, last }) => (
            <tr key={`${panel.key} ${line.key}`}>
              <th scope="row">{line.label}{panel.score ? ", score" : ""}</th>
              <td class="number">{last ? figure(last.value, panel.unit, unit) : "nothing read"}</td>
              <td>{last ? exact(last.time, zone) : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

// One panel as a uPlot.
import uPlot from "uplot";
import { align } from "../columns.ts";
import type { Span } from "../ranges.ts";
import { axisLabels, DAY, exact, HOUR, MINUTE, SECOND, type Zone } from "../time.ts";
import { digits, factor, shownUnit, type WindUnit } from "../units.ts";
import { faint, LINES, type Palette } from "./palette.ts";
import type { Band, Panel } from "./panels.ts";

// Where labels may stand; between five minutes and one lie two, which a narrow chart needs.
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND), ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), ...[1, 2, 3, 4, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 3, 5, 7, 10, 14, 30, 60, 90, 120, 180, 365, 730].map((n) => n * DAY),
];

/** Left of every plot, so that all of a stack begin at the same pixel. */
export const LEFT = 56;
export const RIGHT = 24;

export interface Look {
  palette: Palette;
  unit: WindUnit;
  zone: Zone;
  narrow: boolean;
}

export interface Hooks {
  sync: string;
  bands: () => Band[];
  now: () => number;
  zoom: (span: Span) => void;
  read: (panel: Panel, text: string) => void;
}

/** Columns as uPlot wants them: time, then least, greatest and mean of each line, in the unit that is shown. */
export function dataOf(panel: Panel, unit: WindUnit): uPlot.AlignedData {
  const by = factor(panel.unit, unit);
  const { time, columns } = align(panel.lines.map(({ columns: { time, min, max, mean } }) => ({ time, columns: [min, max, mean] })));
  const scaled = columns.flat().map((column) => (by === 1 ? column : column.map((value) => (typeof value === "number" ? value * by : value))));
  return [time, ...scaled] as uPlot.AlignedData;
}

export function heightOf(panel: Panel, isLast: boolean): number {
  const plot = panel.score ? 90 : panel.circle ? 110 : 190;
  return plot + (isLast ? 44 : 10);
}

export function makePlot(place: HTMLElement, panel: Panel, isLast: boolean, width: number, look: Look, hooks: Hooks): uPlot {
  const options: uPlot.Options = {
    width,
    height: heightOf(panel, isLast),
    ms: 1,
    tzDate: (ms) => (look.zone === "utc" ? uPlot.tzDate(new Date(ms), "Etc/UTC") : new Date(ms)),
    padding: [8, RIGHT, 0, 0],
    legend: { show: false },
    cursor: cursor(hooks.sync),
    scales: { x: { time: true, auto: false }, y: { range: (_u, min, max) => extent(panel, look.unit, min, max) } },
    axes: [timeAxis(look, isLast), valueAxis(panel, look)],
    series: [{}, ...panel.lines.flatMap((line) => seriesOf(line, look))],
    bands: panel.lines.flatMap((line, index) =>
      line.band ? [{ series: [3 * index + 2, 3 * index + 1] as [number, number], fill: faint(colourOf(line, look), 0.2) }] : []),
    hooks: {
      drawClear: [(u) => shade(u, look, hooks)],
      draw: [(u) => limits(u, panel, look)],
      setCursor: [(u) => hooks.read(panel, readout(u, panel, look))],
      setSelect: [(u) => selected(u, hooks)],
    },
  };
  return new uPlot(options, dataOf(panel, look.unit), place);
}

const colourOf = (line: { colour: number }, look: Look): string => look.palette.lines[line.colour % LINES] ?? look.palette.ink;

function cursor(sync: string): uPlot.Cursor {
  return {
    sync: { key: sync, setSeries: false },
    drag: { x: true, y: false, setScale: false, dist: 6 },
    points: { size: 7 },
    // A drag with shift moves the picture (gestures.ts), and is no selection.
    bind: { mousedown: (_u, _t, handle) => (event) => (event.shiftKey ? null : handle(event)), dblclick: () => null },
  };
}

function seriesOf(line: Panel["lines"][number], look: Look): uPlot.Series[] {
  const stroke = colourOf(line, look);
  const edge: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false } };
  const mean: uPlot.Series = line.points
    ? { stroke, width: 0, paths: () => null, points: { show: true, size: 3, space: 0, fill: stroke, width: 0 } }
    : { stroke, width: 1.75, points: { size: 4, fill: stroke }, ...(line.dashed ? { dash: [6, 4] } : {}) };
  return [edge, { ...edge }, mean];
}

/** What the axis of values spans: wind and scores from nothing, directions the whole circle, else what there is. */
function extent(panel: Panel, unit: WindUnit, min: number | null, max: number | null): [number, number] {
  if (panel.circle) return [0, 360];
  const by = factor(panel.unit, unit);
  const marks = panel.thresholds.map((threshold) => threshold.value * by);
  const low = Math.min(min ?? 0, panel.score ? 0 : (min ?? 0));
  const isFromNought = panel.score || (low >= 0 && /speed|power|vibration/i.test(panel.title));
  const high = Math.max(max ?? 1, ...marks.filter((mark) => panel.score || mark < 3 * (max ?? 1)));
  if (isFromNought) return [0, high > 0 ? high * 1.08 : 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

function timeAxis(look: Look, isLast: boolean): uPlot.Axis {
  const { soft, grid } = look.palette;
  return {
    stroke: soft,
    font: "12px system-ui, sans-serif",
    grid: { stroke: grid, width: 1 },
    ticks: { show: isLast, stroke: grid, width: 1, size: 5 },
    size: isLast ? 42 : 8,
    space: look.narrow ? 56 : 76,
    incrs: STEPS,
    values: (_u, splits, _axis, _space, step) => (isLast ? axisLabels(splits, step, look.zone) : splits.map(() => "")),
  };
}

function valueAxis(panel: Panel, look: Look): uPlot.Axis {
  const { soft, grid } = look.palette;
  const axis: uPlot.Axis = {
    stroke: soft, font: "12px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: LEFT, gap: 6, space: 30,
  };
  if (panel.circle) axis.splits = () => [0, 90, 180, 270, 360];
  if (panel.circle) axis.values = () => ["N 0°", "E 90°", "S 180°", "W 270°", "N 360°"];
  return axis;
}

/** The times of alerts, behind the lines. */
function shade(u: uPlot, look: Look, hooks: Hooks): void {
  const { left, top, width, height } = u.bbox;
  for (const band of hooks.bands()) {
    const from = Math.max(left, u.valToPos(band.from, "x", true));
    const to = Math.min(left + width, u.valToPos(band.to ?? hooks.now(), "x", true));
    if (to <= left || from >= left + width) continue;
    const colour = look.palette.severity[band.severity] ?? look.palette.soft;
    u.ctx.fillStyle = faint(colour, 0.13);
    u.ctx.fillRect(from, top, Math.max(2, to - from), height);
    // The beginning of one that is no wider than its edge would hide what is drawn.
    if (to - from < 8 * devicePixelRatio) continue;
    u.ctx.fillStyle = faint(colour, 0.7);
    u.ctx.fillRect(from, top, Math.max(1, devicePixelRatio), height);
  }
}

function limits(u: uPlot, panel: Panel, look: Look): void {
  const { left, top, width, height } = u.bbox;
  const scale = devicePixelRatio || 1;
  for (const { value, label } of panel.thresholds) {
    const y = u.valToPos(value * factor(panel.unit, look.unit), "y", true);
    if (y < top || y > top + height) continue;
    const { ctx } = u;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = look.palette.severity["critical"] ?? look.palette.ink;
    ctx.lineWidth = 1.5 * scale;
    ctx.setLineDash([5 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.font = `${12 * scale}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.fillText(label, left + width - 4 * scale, y < top + 16 * scale ? y + 14 * scale : y - 5 * scale);
    ctx.restore();
  }
}

/** What stands under the pointer. */
function readout(u: uPlot, panel: Panel, look: Look): string {
  const index = u.cursor.idx;
  const time = index === null || index === undefined ? undefined : u.data[0][index];
  if (time === undefined || index === null || index === undefined || (u.cursor.left ?? -1) < 0) return "";
  const unit = shownUnit(panel.unit, look.unit);
  const told = panel.lines.flatMap((line, place) => {
    const at = (column: number) => u.data[3 * place + column]?.[index];
    const [min, max, mean] = [at(1), at(2), at(3)];
    if (mean === undefined) return [];
    if (mean === null) return [`${line.label} no data`];
    const spread = line.band && typeof min === "number" && typeof max === "number" && max > min ? ` (${digits(min, unit)}–${digits(max, unit)})` : "";
    return [`${line.label} ${digits(mean, unit)}${unit ? ` ${unit}` : ""}${spread}`];
  });
  return [exact(time, look.zone), ...told].join(" · ");
}

function selected(u: uPlot, hooks: Hooks): void {
  const { left, width } = u.select;
  if (width < 6) return;
  hooks.zoom({ from: u.posToVal(left, "x"), to: u.posToVal(left + width, "x") });
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

// The table of 10-minute windows, and the turbulence that IEC 61400-1 designs for.
import type { StatsWindow } from "./types.ts";

export type Sortable = Exclude<keyof StatsWindow, "unit" | "window_ms" | "due">;

export interface Order {
  by: Sortable;
  down: boolean;
}

/** Rows in order; those without the figure come last, whichever way it goes. */
export function sorted(rows: StatsWindow[], order: Order): StatsWindow[] {
  return [...rows].sort((a, b) => {
    const [x, y] = [a[order.by], b[order.by]];
    if (x === null || y === null) return x === y ? b.start_ms - a.start_ms : x === null ? 1 : -1;
    return (order.down ? y - x : x - y) || b.start_ms - a.start_ms;
  });
}

const FIELDS: (keyof StatsWindow)[] = ["window_ms", "n", "due", "availability", "mean", "min", "max", "std", "turbulence", "gust_3s", "unit"];

/** As CSV (RFC 4180), always in UTC and in the measured unit: a file outlives the settings of a page. */
export function csv(rows: StatsWindow[]): string {
  const head = ["start", ...FIELDS].join(",");
  const lines = rows.map((row) => [new Date(row.start_ms).toISOString(), ...FIELDS.map((field) => cell(row[field]))].join(","));
  return [head, ...lines, ""].join("\r\n");
}

function cell(value: string | number | null): string {
  if (value === null) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Turbulence intensity of the normal turbulence model, IEC 61400-1 ed. 4: sigma1 = Iref (0.75 v + 5.6 m/s). */
export const designTurbulence = (iRef: number, speedMps: number): number => (iRef * (0.75 * speedMps + 5.6)) / speedMps;

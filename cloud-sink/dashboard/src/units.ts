// Figures with units. Wind speeds come in m/s and are shown in what the reader has chosen; all else stays as measured.

export type WindUnit = "m/s" | "km/h" | "knots";
export const WIND_UNITS: WindUnit[] = ["m/s", "km/h", "knots"];

const PER_MPS: Record<WindUnit, number> = { "m/s": 1, "km/h": 3.6, knots: 3600 / 1852 };

// What a sensor of the field resolves; more digits would be noise.
const DIGITS: Record<string, number> = {
  "m/s": 1, "km/h": 1, knots: 1, "°": 0, deg: 0, "°C": 1, degC: 1, hPa: 1, "%": 1, "%RH": 0, rpm: 1, Hz: 2, V: 1, A: 2, kW: 0,
};

export const isSpeed = (unit: string): boolean => unit === "m/s";

/** The unit in which a measured one is shown; that of a bare number, 1, is none to the eye. */
export const shownUnit = (unit: string, wind: WindUnit): string => (isSpeed(unit) ? wind : unit === "1" ? "" : unit);

/** By what a measured value is multiplied to be shown. */
export const factor = (unit: string, wind: WindUnit): number => (isSpeed(unit) ? PER_MPS[wind] : 1);

/** A value with as many digits as are worth reading. */
export function digits(value: number, unit: string): string {
  const known = DIGITS[unit];
  const size = Math.abs(value);
  const isCount = !unit && Number.isInteger(value);
  const wanted = known ?? (isCount || size >= 1000 ? 0 : size >= 100 ? 1 : 2);
  const text = value.toFixed(wanted);
  return /^-0(\.0+)?$/.test(text) ? text.slice(1) : text;
}

/** "8.4 m/s"; a dash where there is nothing. */
export function figure(value: number | null | undefined, unit: string, wind: WindUnit): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const shown = shownUnit(unit, wind);
  const text = digits(value * factor(unit, wind), shown);
  if (!shown) return text;
  return shown.startsWith("°") && shown.length === 1 ? text + shown : `${text} ${shown}`;
}

/** A share as percent: 0.9987 is not 100 %, for that would say that nothing is missing. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return "–";
  if (share < 1 && share > 0.9995) return "> 99.9 %";
  return `${(share * 100).toFixed(share === 1 ? 0 : 1)} %`;
}

/** 12,345 */
export const count = (n: number): string => n.toLocaleString("en-GB");

/** "1 turbine", "3 turbines" */
export const many = (n: number, one: string, more = `${one}s`): string => `${count(n)} ${n === 1 ? one : more}`;

const POINTS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"];

/** The compass point of a direction, degrees from north. */
export const compass = (degrees: number): string => POINTS[Math.round((((degrees % 360) + 360) % 360) / 22.5) % 16] ?? "";

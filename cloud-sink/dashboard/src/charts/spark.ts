// A sparkline as the path of an SVG.
import type { Spark } from "../types.ts";

export const WIDTH = 120;
export const HEIGHT = 32;

/** The path of the means, from nothing to `top`; broken where nothing was read. One decimal is a tenth of a pixel. */
export function path(mean: Spark["mean"], top: number): string {
  const step = mean.length > 1 ? WIDTH / (mean.length - 1) : WIDTH;
  let isDown = false;
  let drawn = "";
  mean.forEach((value, index) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 2);
    const isAlone = !isDown && (mean[index + 1] ?? null) === null;
    drawn += `${isDown ? "L" : "M"}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
    // A single value between gaps is a dot, not nothing.
    if (isAlone) drawn += "h1";
    isDown = true;
  });
  return drawn;
}

/** The top of all sparklines of a farm, so that they can be compared: full fives, ten at least. */
export const topOf = (sparks: (Spark | null)[]): number => {
  let most = 10;
  for (const spark of sparks) for (const value of spark?.mean ?? []) if (value !== null && value > most) most = value;
  return Math.ceil(most / 5) * 5;
};

// The wind rose: from where how often, and how hard.
import { prefs } from "../prefs.ts";
import { compass, digits, factor, percent } from "../units.ts";
import type { WindAnswer } from "../types.ts";

type Rose = WindAnswer["rose"];

const SIZE = 320;
const MIDDLE = SIZE / 2;
const OUTER = 128;
const HUB = 16;

/** A piece of a ring between two angles, degrees from north. */
export function piece(inner: number, outer: number, from: number, to: number): string {
  const at = (radius: number, degrees: number): string => {
    const turn = (degrees / 180) * Math.PI;
    return `${(MIDDLE + radius * Math.sin(turn)).toFixed(1)} ${(MIDDLE - radius * Math.cos(turn)).toFixed(1)}`;
  };
  return `M${at(inner, from)}L${at(outer, from)}A${outer} ${outer} 0 0 1 ${at(outer, to)}L${at(inner, to)}A${inner} ${inner} 0 0 0 ${at(inner, from)}Z`;
}

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Whether no window is in it. */
export const isEmpty = (rose: Rose): boolean => rose.calm + sum(rose.counts.flat()) === 0;

/** The words of a class of speed, in the unit that is shown. */
function classWords(rose: Rose, index: number): string {
  const { unit } = prefs.value;
  const of = (mps: number) => digits(mps * factor("m/s", unit), unit).replace(/\.0$/, "");
  const [from, to] = [rose.classes_mps[index] ?? 0, rose.classes_mps[index + 1]];
  return to === undefined ? `over ${of(from)} ${unit}` : `${of(from)}–${of(to)} ${unit}`;
}

export function WindRose({ rose }: { rose: Rose }) {
  const totals = rose.counts.map(sum);
  const all = sum(totals) + rose.calm;
  const most = Math.max(1, ...totals);
  const width = 360 / rose.sectors;
  const main = totals.indexOf(Math.max(...totals));
  const words = `Most often from ${compass(main * width)}, ${percent(totals[main]! / all)} of the time; calm ${percent(rose.calm / all)}.`;
  return (
    <figure class="rose">
      <svg viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={`Wind rose. ${words}`}>
        <Rings most={most / all} />
        {rose.counts.map((sector, place) => <Sector key={place} rose={rose} sector={sector} middle={place * width} width={width} most={most} />)}
        <circle cx={MIDDLE} cy={MIDDLE} r={HUB} class="rose-hub" />
        <text x={MIDDLE} y={MIDDLE + 4} class="svg-text middle">{all ? Math.round((rose.calm / all) * 100) : 0}%</text>
      </svg>
      <ul class="legend">
        {rose.classes_mps.map((_, index) => <li key={index}><i class={`dot class-${index + 1}`} />{classWords(rose, index)}</li>)}
      </ul>
      <figcaption class="soft">{words} In the middle: calm.</figcaption>
    </figure>
  );
}

function Rings({ most }: { most: number }) {
  return (
    <>
      {[0.5, 1].map((share) => (
        <g key={share}>
          <circle cx={MIDDLE} cy={MIDDLE} r={HUB + (OUTER - HUB) * share} class="svg-grid" />
          <text x={MIDDLE + 4} y={MIDDLE - HUB - (OUTER - HUB) * share - 3} class="svg-text">{percent(most * share)}</text>
        </g>
      ))}
      <text x={MIDDLE - 16} y={14} class="svg-text strong">N</text>
      <text x={SIZE - 14} y={MIDDLE + 4} class="svg-text strong">E</text>
      <text x={MIDDLE - 4} y={SIZE - 6} class="svg-text strong">S</text>
      <text x={2} y={MIDDLE + 4} class="svg-text strong">W</text>
    </>
  );
}

interface SectorProps {
  rose: Rose;
  sector: number[];
  middle: number;
  width: number;
  most: number;
}

function Sector({ rose, sector, middle, width, most }: SectorProps) {
  let below = 0;
  const radius = (n: number): number => HUB + (OUTER - HUB) * (n / most);
  const gap = width * 0.06;
  return (
    <g>
      {sector.map((n, index) => {
        if (!n) return null;
        const inner = radius(below);
        below += n;
        return (
          <path key={index} class={`class-${index + 1}`} d={piece(inner, radius(below), middle - width / 2 + gap, middle + width / 2 - gap)}>
            <title>{`${compass(middle)}, ${classWords(rose, index)}: ${n} windows`}</title>
          </path>
        );
      })}
    </g>
  );
}

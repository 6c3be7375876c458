// Turbulence intensity by wind speed, against what the classes of IEC 61400-1 are designed for.
import { prefs } from "../prefs.ts";
import type { WindAnswer } from "../types.ts";
import { digits, factor, percent } from "../units.ts";
import { designTurbulence } from "../windows.ts";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [520, 300, 44, 40, 10, 40];
const FIRST_MPS = 3;
/** Between the names of classes: their curves end closer together than words can stand. */
const LINE = 17;

type Bins = WindAnswer["turbulence"];

export function Turbulence({ bins, iec }: { bins: Bins; iec: WindAnswer["iec"] }) {
  const { unit } = prefs.value;
  const known = bins.filter((bin) => bin.n > 0 && bin.speed_mps >= FIRST_MPS);
  const last = Math.max(25, ...known.map((bin) => bin.speed_mps));
  const top = Math.max(0.4, Math.ceil(Math.max(0, ...known.map((bin) => bin.p90)) * 10) / 10);
  const x = (mps: number): number => LEFT + ((mps - FIRST_MPS) / (last - FIRST_MPS)) * (WIDTH - LEFT - RIGHT);
  const y = (share: number): number => TOP + (1 - share / top) * (HEIGHT - TOP - BOTTOM);
  const speeds = Array.from({ length: 45 }, (_, index) => FIRST_MPS + ((last - FIRST_MPS) * index) / 44);
  const curve = (iRef: number): string => {
    const seen = speeds.filter((mps) => designTurbulence(iRef, mps) <= top);
    return seen.map((mps, index) => `${index ? "L" : "M"}${x(mps).toFixed(1)} ${y(designTurbulence(iRef, mps)).toFixed(1)}`).join("");
  };
  const ends = iec.map((one) => y(designTurbulence(one.i_ref, last)));
  const middle = ends.reduce((a, b) => a + b, 0) / Math.max(1, ends.length);
  return (
    <figure class="turbulence">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Turbulence intensity by wind speed. ${wordsOf(known, iec)}`}>
        {Array.from({ length: Math.round(top * 10) + 1 }, (_, index) => index / 10).map((share) => (
          <g key={share}>
            <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(share)} y2={y(share)} class="svg-grid" />
            <text x={LEFT - 6} y={y(share) + 4} class="svg-text right">{Math.round(share * 100)} %</text>
          </g>
        ))}
        {[5, 10, 15, 20, 25].filter((mps) => mps <= last).map((mps) => (
          <text key={mps} x={x(mps)} y={HEIGHT - 22} class="svg-text middle">{digits(mps * factor("m/s", unit), unit).replace(/\.0$/, "")}</text>
        ))}
        <text x={(LEFT + WIDTH - RIGHT) / 2} y={HEIGHT - 4} class="svg-text middle">10-minute mean wind speed, {unit}</text>
        {iec.map((one, index) => (
          <g key={one.class}>
            <path d={curve(one.i_ref)} class={`iec iec-${index + 1}`} />
            <text x={WIDTH - RIGHT + 6} y={middle + (index - (iec.length - 1) / 2) * LINE + 4} class="svg-text strong">{one.class}</text>
          </g>
        ))}
        {known.map((bin) => (
          <g key={bin.speed_mps} class="bin">
            <title>{`${digits(bin.speed_mps * factor("m/s", unit), unit)} ${unit}: mean ${percent(bin.mean)}, 90 % below ${percent(bin.p90)}, ${bin.n} windows`}</title>
            <line x1={x(bin.speed_mps)} x2={x(bin.speed_mps)} y1={y(bin.mean)} y2={y(bin.p90)} />
            <circle cx={x(bin.speed_mps)} cy={y(bin.mean)} r="3" />
            <path d={`M${x(bin.speed_mps) - 4} ${y(bin.p90)}h8`} />
          </g>
        ))}
      </svg>
      <figcaption class="soft">Dots: mean of each 1 m/s; bars reach to the 90 % quantile, which the design curves of A+, A, B and C (IEC 61400-1 ed. 4) are to cover. {wordsOf(known, iec)}</figcaption>
    </figure>
  );
}

/** The weakest class that covers what was measured. Where few windows are known, a bin says nothing. */
function wordsOf(bins: Bins, iec: WindAnswer["iec"]): string {
  const sure = bins.filter((bin) => bin.n >= 6);
  if (!sure.length) return "Too few windows to compare.";
  const covers = (iRef: number) => sure.every((bin) => bin.p90 <= designTurbulence(iRef, bin.speed_mps));
  const fitting = [...iec].sort((a, b) => a.i_ref - b.i_ref).find((one) => covers(one.i_ref));
  return fitting ? `Class ${fitting.class} covers all of it.` : "At some speeds it is above every class.";
}

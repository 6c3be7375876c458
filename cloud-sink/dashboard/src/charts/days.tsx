// The greatest wind of each day, and the greatest gust.
import { prefs } from "../prefs.ts";
import type { DayChannel } from "../types.ts";
import { digits, factor, figure, shownUnit } from "../units.ts";

export interface DayRow {
  date: string;
  of: DayChannel;
}

const [HEIGHT, LEFT, BOTTOM, TOP] = [190, 40, 24, 10];

export function Days({ rows }: { rows: DayRow[] }) {
  const { unit } = prefs.value;
  const measured = rows[0]?.of.unit ?? "";
  const by = factor(measured, unit);
  const width = Math.max(520, LEFT + rows.length * 14);
  const most = Math.max(1, ...rows.map(({ of }) => Math.max(of.max ?? 0, of.gust_3s ?? 0) * by));
  const top = Math.ceil(most / 5) * 5;
  const y = (value: number): number => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const step = (width - LEFT) / Math.max(1, rows.length);
  const every = Math.ceil(rows.length / 8);
  return (
    <svg class="days" viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`Daily maximum over ${rows.length} days, at most ${digits(most, shownUnit(measured, unit))} ${shownUnit(measured, unit)}`}>
      {[0, 0.5, 1].map((share) => (
        <g key={share}>
          <line x1={LEFT} x2={width} y1={y(top * share)} y2={y(top * share)} class="svg-grid" />
          <text x={LEFT - 6} y={y(top * share) + 4} class="svg-text right">{Number(digits(top * share, ""))}</text>
        </g>
      ))}
      {rows.map(({ date, of }, index) => (
        <g key={date}>
          <title>{`${date}: greatest ${figure(of.max, of.unit, unit)}, 3-second gust ${figure(of.gust_3s, of.unit, unit)}, mean ${figure(of.mean, of.unit, unit)}`}</title>
          {of.max !== null && <rect x={LEFT + index * step + step * 0.15} width={Math.min(step * 0.7, 40)} y={y(of.max * by)} height={Math.max(0, y(0) - y(of.max * by))} class="day-max" />}
          {of.mean !== null && <rect x={LEFT + index * step + step * 0.15} width={Math.min(step * 0.7, 40)} y={y(of.mean * by)} height={Math.max(0, y(0) - y(of.mean * by))} class="day-mean" />}
          {index % every === 0 && <text x={LEFT + index * step + step * 0.15} y={HEIGHT - 6} class="svg-text">{date.slice(5)}</text>}
        </g>
      ))}
    </svg>
  );
}

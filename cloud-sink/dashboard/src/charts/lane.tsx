// Alerts as bars on the charts' axis of time.
import type { ReadonlySignal } from "@preact/signals";
import { second } from "../clock.ts";
import type { Span } from "../ranges.ts";
import { LEFT, RIGHT } from "./plot.ts";
import { clusters, rowsOf, type Band } from "./panels.ts";

interface Props {
  bands: Band[];
  span: ReadonlySignal<Span>;
  onSpan: (span: Span) => void;
}

export function Lane({ bands, span, onSpan }: Props) {
  const { from, to } = span.value;
  const now = second.value;
  const seen = bands.filter((band) => band.from < to && (band.to ?? now) > from);
  const rows = rowsOf(clusters(seen, from, to, now), now);
  return (
    <div class="lane" style={{ marginLeft: `${LEFT}px`, marginRight: `${RIGHT}px` }}>
      {!seen.length && <p class="soft">No alert in this time</p>}
      {rows.map((row, index) => (
        <div class="lane-row" key={index}>{row.map((band) => <Bar key={band.key} band={band} span={{ from, to }} now={now} onSpan={onSpan} />)}</div>
      ))}
    </div>
  );
}

interface BarProps {
  band: Band & { n: number };
  span: Span;
  now: number;
  onSpan: (span: Span) => void;
}

function Bar({ band, span: { from, to }, now, onSpan }: BarProps) {
  const share = (ms: number): number => Math.min(1, Math.max(0, (ms - from) / (to - from))) * 100;
  const left = share(band.from);
  const end = band.to ?? now;
  const place = { left: `min(${left}%, calc(100% - 1.5rem))`, width: `max(1.5rem, ${Math.max(0, share(end) - left)}%)` };
  const look = `lane-bar ${band.severity}`;
  if (band.n === 1) return <a class={look} href={band.href} title={band.label} style={place}>{band.label}</a>;
  // Several at once: nearer, they come apart.
  const room = (end - band.from) * 0.25 + 60_000;
  const words = `${band.label}: zoom to them`;
  return <button type="button" class={look} title={words} aria-label={words} style={place} onClick={() => onSpan({ from: band.from - room, to: end + room })}>{band.n}</button>;
}

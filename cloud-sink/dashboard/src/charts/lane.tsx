// Alerts as bars on the charts' axis of time.
import type { ReadonlySignal } from "@preact/signals";
import { second } from "../clock.ts";
import type { Span } from "../ranges.ts";
import { LEFT, RIGHT } from "./plot.ts";
import { rowsOf, type Band } from "./panels.ts";

export function Lane({ bands, span }: { bands: Band[]; span: ReadonlySignal<Span> }) {
  const { from, to } = span.value;
  const now = second.value;
  const seen = bands.filter((band) => band.from < to && (band.to ?? now) > from);
  const share = (ms: number): number => Math.min(1, Math.max(0, (ms - from) / (to - from))) * 100;
  return (
    <div class="lane" style={{ marginLeft: `${LEFT}px`, marginRight: `${RIGHT}px` }}>
      {!seen.length && <p class="soft">No alert in this time</p>}
      {rowsOf(seen, now).map((row, index) => (
        <div class="lane-row" key={index}>
          {row.map((band) => {
            const left = share(band.from);
            const width = Math.max(share(band.to ?? now) - left, 0);
            return (
              <a key={band.key} class={`lane-bar ${band.severity}`} href={band.href} title={band.label}
                style={{ left: `${Math.min(left, 99)}%`, width: `max(1.5rem, ${width}%)` }}>
                <span>{band.label}</span>
              </a>
            );
          })}
        </div>
      ))}
    </div>
  );
}

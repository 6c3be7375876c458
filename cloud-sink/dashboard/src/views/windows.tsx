// The table of 10-minute windows.
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import * as api from "../api.ts";
import { prefs } from "../prefs.ts";
import { DAY, exact } from "../time.ts";
import type { Channel, StatsWindow } from "../types.ts";
import { count, digits, factor, percent, shownUnit } from "../units.ts";
import { csv, sorted, type Order, type Sortable } from "../windows.ts";
import { Empty, Problem, unlessGone, useAsked } from "./parts.tsx";

interface Props {
  agent: string;
  device: string;
  channel: Channel;
  from: number;
  to: number;
}

const PAGE = 72;
/** What the table reads of a long span: the newest. A file has all of it. */
const MOST_MS = 31 * DAY;
const COLUMNS: [Sortable, string, string][] = [
  ["start_ms", "Window", "Its first second"], ["mean", "Mean", "Mean of the readings"], ["min", "Least", "Least reading"], ["max", "Greatest", "Greatest reading"],
  ["gust_3s", "Gust", "Greatest mean over 3 seconds"], ["std", "Spread", "Standard deviation"], ["turbulence", "TI", "Turbulence intensity"],
  ["availability", "Read", "Share of the readings that were due"],
];

export function Windows({ agent, device, channel, from, to }: Props) {
  const order = useSignal<Order>({ by: "start_ms", down: true });
  const shown = useSignal(PAGE);
  const first = Math.max(from, to - MOST_MS);
  const about = [agent, device, channel.name, first, to].join("/");
  const of = { agent, device, channel: channel.name, to };
  const { data, error, busy } = useAsked(about, (signal) => api.stats({ ...of, from: first }, signal));
  const rows = useMemo(() => sorted(data ?? [], order.value), [data, order.value]);
  const sort = (by: Sortable) => (order.value = { by, down: order.value.by === by ? !order.value.down : true });
  return (
    <section class="card" aria-labelledby="windows">
      <div class="head">
        <h2 id="windows">10-minute windows</h2>
        <p class="soft">{data && `${count(data.length)} of ${channel.name}${first > from ? ", the last 31 days; the file has all" : ""}`}</p>
        <CsvButton name={`${agent}-${device}-${channel.name}.csv`} rows={() => (first > from || !data ? api.stats({ ...of, from }) : Promise.resolve(data))} />
      </div>
      <Problem text={error} />
      {!rows.length && <Empty>{busy ? "Asking the sink…" : "No window ended in this time."}</Empty>}
      {rows.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Table of windows">
          <table class="windows">
            <thead>
              <tr>
                {COLUMNS.map(([key, words, means]) => (
                  <th key={key} scope="col" class={key === "start_ms" ? "" : "number"} aria-sort={order.value.by !== key ? "none" : order.value.down ? "descending" : "ascending"}>
                    <button type="button" title={means} onClick={() => sort(key)}>{words}{order.value.by === key ? (order.value.down ? " ↓" : " ↑") : ""}</button>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{rows.slice(0, shown.value).map((row) => <Row key={row.start_ms} row={row} />)}</tbody>
          </table>
        </div>
      )}
      {rows.length > shown.value && <button type="button" onClick={() => (shown.value += PAGE * 4)}>Show more of {count(rows.length)}</button>}
    </section>
  );
}

function CsvButton({ name, rows }: { name: string; rows: () => Promise<StatsWindow[]> }) {
  const busy = useSignal(false);
  const error = useSignal("");
  const make = async () => {
    busy.value = true;
    const answer = await unlessGone(rows());
    busy.value = false;
    error.value = answer?.error ?? "";
    if (answer && answer.error === undefined) download(name, csv(answer.value));
  };
  return <><button type="button" disabled={busy.value} onClick={make}>{busy.value ? "Reading…" : "Download CSV"}</button><Problem text={error.value} /></>;
}

function Row({ row }: { row: StatsWindow }) {
  const { unit, zone } = prefs.value;
  const of = (value: number | null): string => (value === null ? "–" : digits(value * factor(row.unit, unit), shownUnit(row.unit, unit)));
  return (
    <tr>
      <th scope="row">{exact(row.start_ms, zone).replace(/:00( UTC)?$/, "$1")}</th>
      <td class="number">{of(row.mean)}</td><td class="number">{of(row.min)}</td><td class="number">{of(row.max)}</td>
      <td class="number">{of(row.gust_3s)}</td><td class="number">{row.std === null ? "–" : (row.std * factor(row.unit, unit)).toFixed(2)}</td>
      <td class="number">{percent(row.turbulence)}</td><td class="number" title={`${row.n} of ${row.due}`}>{percent(row.availability)}</td>
    </tr>
  );
}

/** Hands a file to the browser. The address lives as long as the browser needs to begin. */
function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

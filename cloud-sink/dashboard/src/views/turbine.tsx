// One turbine: its channels over time, its alerts, what it reads now.
import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import * as api from "../api.ts";
import { kindWords } from "../alerts.ts";
import { panelsOf, sameAt, sourcesOf, usual, type Band, type Source, type Threshold } from "../charts/panels.ts";
import { ChartStack, ValuesTable } from "../charts/stack.tsx";
import { useSeries, useWindow, type Window } from "../charts/window.ts";
import { now, second } from "../clock.ts";
import { returned } from "../live.ts";
import { RANGES } from "../ranges.ts";
import { alertHref } from "../routes.ts";
import { agents, alerts, intervalOf, tiles } from "../state.ts";
import { between, DAY } from "../time.ts";
import { prefs } from "../prefs.ts";
import { lastSeen, shownState } from "../trouble.ts";
import type { Agent, Alert } from "../types.ts";
import { many } from "../units.ts";
import { Channels } from "./channels.tsx";
import { Latest } from "./latest.tsx";
import { Ago, Empty, Problem, StateBadge, useAsked } from "./parts.tsx";
import { Verdicts } from "./verdicts.tsx";

export function Turbine({ agent: name }: { agent: string }) {
  const agent = agents.value.get(name);
  if (!agent) {
    const isLoading = agents.value.size === 0;
    return <><h1>{name}</h1><Empty>{isLoading ? "Asking the sink…" : "The sink has not heard of a turbine of this name."}</Empty></>;
  }
  return <Known key={name} agent={agent} />;
}

function Known({ agent }: { agent: Agent }) {
  const name = agent.agent;
  // The agent's list is told anew with every stream; only what it reads decides what is drawn.
  const shape = JSON.stringify(agent.devices);
  const own = useMemo(() => sourcesOf(agent), [shape]);
  const chosen = useSignal(usual(own));
  const others = useSignal<Source[]>([]);
  const sources = useMemo(() => [...own.filter((source) => chosen.value.includes(source.key)), ...others.value], [own, chosen.value, others.value]);
  const view = useWindow();
  const reach = useComputed(() => Math.floor(Math.min(view.span.value.from, now() - 30 * DAY) / (30 * DAY)) * 30 * DAY);
  const recent = useAlertsOf(name, reach.value);
  const loader = useSeries(sources, view);
  const bands = useMemo(() => recent.map(bandOf), [recent]);
  const thresholds = useMemo(() => thresholdsOf(recent), [recent]);
  const panels = () => panelsOf(sources, loader.columns, thresholds);
  void loader.version.value;
  return (
    <>
      <TurbineHead name={name} />
      {!own.length && <Empty>This turbine has not told yet what it reads.</Empty>}
      <div class="beside">
        <section class="card" aria-label="Charts">
          <WindowBar view={view} />
          <Problem text={loader.error.value} />
          <ChartStack label={`Charts of ${name}`} panels={panels} version={loader.version} span={view.span} bands={bands} busy={loader.busy}
            onSpan={view.show} onHome={view.home} onWidth={view.measured}>
            <p class="soft hint">Drag over a chart to zoom, shift-drag to move, turn the wheel to zoom; on a touch screen swipe and pinch.</p>
            <ValuesTable panels={panels()} />
          </ChartStack>
        </section>
        <div class="side">
          <Channels agent={name} own={own} chosen={chosen.value} onChoose={(keys) => (chosen.value = keys)}
            others={others.value} onCompare={(list) => (others.value = list)} find={(other, quantity) => sameOf(other, quantity)} />
        </div>
      </div>
      <div class="halves">
        <Latest agent={agent} />
        <Verdicts alerts={recent} />
      </div>
    </>
  );
}

function sameOf(other: string, quantity: string): Source | null {
  const agent = agents.value.get(other);
  return agent ? sameAt(agent, quantity) : null;
}

function TurbineHead({ name }: { name: string }) {
  const tile = tiles.value?.get(name);
  return (
    <div class="head">
      <h1>{name}</h1>
      {tile && <StateBadge of={shownState(tile, second.value, intervalOf(name, tile.wind?.device))} />}
      {tile && <p class="soft">{tile.locations.join(", ")} · seen <Ago ms={lastSeen(tile)} />
        {tile.waiting > 0 && ` · ${many(tile.waiting, "message")} on its disk`}{tile.spool_error && ` · disk: ${tile.spool_error}`}</p>}
    </div>
  );
}

const bandOf = (alert: Alert): Band => ({
  key: `${alert.agent}/${alert.id}`, from: alert.opened_ms, to: alert.state === "open" ? null : (alert.cleared_ms ?? alert.updated_ms),
  label: `${kindWords(alert.kind)}${alert.channel ? `, ${alert.channel}` : ""}`, severity: alert.severity, href: alertHref(alert),
});

/** Where the line of the score's threshold lies; the alerts say it, the newest is right. */
function thresholdsOf(list: Alert[]): Map<string, Threshold[]> {
  const found = new Map<string, Threshold[]>();
  for (const alert of list) {
    if (alert.threshold === null || alert.anomaly_score === null) continue;
    const key = `${alert.agent}/${alert.device}/${alert.channel} score`;
    if (!found.has(key)) found.set(key, [{ value: alert.threshold, label: `threshold ${alert.threshold}` }]);
  }
  return found;
}

/** The alerts of a turbine: those of the last thirty days, and before if the charts show more, and what the stream tells since. */
function useAlertsOf(name: string, from: number): Alert[] {
  const asked = useAsked(`${name} ${from} ${returned.value}`, (signal) => api.alerts({ agent: name, limit: 500, from }, signal));
  const told = alerts.value;
  return useMemo(() => {
    const known = new Map((asked.data?.alerts ?? []).map((alert) => [alert.id, alert]));
    for (const alert of told) if (alert.agent === name) known.set(alert.id, alert);
    return [...known.values()].sort((a, b) => b.opened_ms - a.opened_ms);
  }, [asked.data, told]);
}

function WindowBar({ view }: { view: Window }) {
  const words = useComputed(() => between(view.span.value.from, view.span.value.to, prefs.value.zone));
  return (
    <div class="bar">
      <div class="filter" role="group" aria-label="Time shown">
        {RANGES.map(({ key, label }) => (
          <button type="button" key={key} aria-pressed={view.range.value === key} onClick={() => view.choose(key)}>{label}</button>
        ))}
      </div>
      <button type="button" aria-pressed={view.live.value} class="live" onClick={() => (view.live.value ? (view.live.value = false) : view.home())}>
        {view.live.value ? "● Live: pause" : "Go live"}
      </button>
      <p class="soft span-words">{words}</p>
    </div>
  );
}

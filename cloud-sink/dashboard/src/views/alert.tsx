// One alert: what was seen, in words and as a picture, and what people say of it.
import { useMemo } from "preact/hooks";
import * as api from "../api.ts";
import { isBrief, keyOf, kindWords, stateWords } from "../alerts.ts";
import { panelsOf, sameAt, sourcesOf, type Band, type Source, type Threshold } from "../charts/panels.ts";
import { ChartStack, ValuesTable } from "../charts/stack.tsx";
import { useSeries, useWindow } from "../charts/window.ts";
import { now } from "../clock.ts";
import { prefs } from "../prefs.ts";
import { alertHref, turbineHref } from "../routes.ts";
import { agents, putAlert } from "../state.ts";
import { exact, HOUR, MINUTE } from "../time.ts";
import type { Alert } from "../types.ts";
import { figure } from "../units.ts";
import { Conversation } from "./conversation.tsx";
import { Ago, Empty, Lasting, Problem, SeverityBadge, useAsked } from "./parts.tsx";

interface Props {
  of: { agent: string; id: string };
  known: Alert | undefined;
}

export function AlertDetail({ of, known }: Props) {
  // Whoever comes by a link has no list yet; the sink lists an agent's alerts, and this one is looked for among them.
  const asked = useAsked(known ? "" : keyOf(of), (signal) => (known ? Promise.resolve(null) : find(of, signal)));
  const alert = known ?? asked.data;
  if (!alert) return <section class="card detail" aria-label="Alert"><Problem text={asked.error} />{!asked.error && <Empty>{asked.busy ? "Asking the sink…" : "The sink does not know this alert, or it is too old to be listed."}</Empty>}</section>;
  return (
    <section class="card detail" aria-labelledby="alert-name">
      <p class="back"><a href="#/alerts">← All alerts</a></p>
      <div class="head">
        <h2 id="alert-name">{kindWords(alert.kind)}</h2>
        <SeverityBadge of={alert.severity} />
        <p class="soft">{stateWords(alert)}</p>
      </div>
      <p class="evidence">{alert.evidence}</p>
      <Facts alert={alert} />
      {alert.device && alert.channel && <Picture alert={alert} />}
      <Conversation alert={alert} onChange={putAlert} />
    </section>
  );
}

async function find({ agent, id }: Props["of"], signal: AbortSignal): Promise<Alert | null> {
  let after: string | undefined;
  for (let page = 0; page < 5; page += 1) {
    const answer = await api.alerts({ agent, limit: 500, ...(after ? { after } : {}) }, signal);
    const found = answer.alerts.find((one) => one.id === id);
    if (found) return found;
    if (!answer.next) return null;
    after = answer.next;
  }
  return null;
}

function Facts({ alert }: { alert: Alert }) {
  const { unit, zone } = prefs.value;
  const end = alert.state === "open" ? null : (alert.cleared_ms ?? alert.updated_ms);
  const facts: [string, preact.ComponentChildren][] = [
    ["Turbine", <a href={turbineHref(alert.agent)}>{alert.agent}</a>],
    ["Place", alert.location || "–"],
    ["Sensor", [alert.device, alert.channel].filter(Boolean).join(" · ") || "–"],
    // How long ago an open one began is how long it is open.
    ["Opened", <>{exact(alert.opened_ms, zone)}{end !== null && <> (<Ago ms={alert.opened_ms} />)</>}</>],
    [end === null ? "Open for" : "Lasted", <Lasting from={alert.opened_ms} to={end} />],
  ];
  if (alert.cleared_ms) facts.push(["Cleared", exact(alert.cleared_ms, zone)]);
  if (alert.value !== null) facts.push(["Value", figure(alert.value, alert.unit, unit)]);
  if (alert.wind_speed !== null) facts.push(["Wind then", figure(alert.wind_speed, "m/s", unit)]);
  if (alert.anomaly_score !== null) facts.push(["Score", `${alert.anomaly_score.toFixed(2)}${alert.threshold === null ? "" : `, threshold ${alert.threshold}`}`]);
  facts.push(["People told", alert.notified_ms ? <Ago ms={alert.notified_ms} /> : alert.cleared_ms ? "nobody" : "nobody so far"]);
  return <dl class="facts">{facts.map(([name, words]) => <div key={name}><dt>{name}</dt><dd>{words}</dd></div>)}</dl>;
}

const NEIGHBOURS = 3;

/** What is over in seconds would be a hair in half an hour. */
const aroundMs = (alert: Alert): number => (isBrief(alert.kind) ? 2 * MINUTE : 15 * MINUTE);

/** The channel from some minutes before to some after, with the same quantity of its neighbours. Of a long alert, its beginning. */
function Picture({ alert }: { alert: Alert }) {
  const end = Math.min(alert.cleared_ms ?? now(), alert.opened_ms + 6 * HOUR);
  const ms = aroundMs(alert);
  const around = useMemo(() => ({ from: alert.opened_ms - ms, to: Math.min(end + ms, now()) }), [keyOf(alert)]);
  const view = useWindow(around);
  const sources = useMemo(() => sourcesFor(alert), [keyOf(alert), agents.value.size]);
  const loader = useSeries(sources, view);
  const bands = useMemo(() => [bandOf(alert)], [alert]);
  const thresholds = useMemo(() => thresholdsFor(alert), [alert, prefs.value.unit]);
  const panels = () => panelsOf(sources, loader.columns, thresholds);
  void loader.version.value;
  return (
    <div class="picture">
      <h3>Around it</h3>
      <Problem text={loader.error.value} />
      <ChartStack label={`${alert.channel} around the alert`} panels={panels} version={loader.version} span={view.span} bands={bands} busy={loader.busy}
        onSpan={view.show} onHome={view.home} onWidth={view.measured}>
        <p class="soft">{sources.map((source) => (source.other ? `${source.agent} (dashed)` : source.channel)).join(", ")}</p>
        <ValuesTable panels={panels()} />
      </ChartStack>
    </div>
  );
}

function sourcesFor(alert: Alert): Source[] {
  const agent = agents.peek().get(alert.agent);
  const own = agent ? sourcesOf(agent).find((source) => source.device === alert.device && source.channel === alert.channel) : undefined;
  if (!own) return [];
  const all = [...agents.peek().values()];
  // Those beside it in the list are as near as the page can know.
  const at = all.findIndex((one) => one.agent === alert.agent);
  const nearest = all.filter((one) => one.agent !== alert.agent).sort((a, b) => Math.abs(all.indexOf(a) - at) - Math.abs(all.indexOf(b) - at));
  const others = nearest.flatMap((one) => sameAt(one, own.quantity) ?? []).slice(0, NEIGHBOURS);
  return [own, ...others];
}

const bandOf = (alert: Alert): Band => ({
  key: keyOf(alert), from: alert.opened_ms, to: alert.state === "open" ? null : (alert.cleared_ms ?? alert.updated_ms),
  label: kindWords(alert.kind), severity: alert.severity, href: alertHref(alert),
});

/** A threshold is one of the score where there is one, else of the value itself. */
function thresholdsFor(alert: Alert): Map<string, Threshold[]> {
  if (alert.threshold === null) return new Map();
  const key = `${alert.agent}/${alert.device}/${alert.channel}${alert.anomaly_score === null ? "" : " score"}`;
  const label = alert.anomaly_score === null ? `limit ${figure(alert.threshold, alert.unit, prefs.value.unit)}` : `threshold ${alert.threshold}`;
  return new Map([[key, [{ value: alert.threshold, label }]]]);
}

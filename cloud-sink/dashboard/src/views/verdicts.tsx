// What the judges say of a turbine's sensors: open alerts, and those of the last thirty days.
import { isHealth, kindWords, stateWords } from "../alerts.ts";
import { now } from "../clock.ts";
import { alertHref } from "../routes.ts";
import { DAY } from "../time.ts";
import type { Alert } from "../types.ts";
import { Ago, Empty, Lasting, SeverityBadge } from "./parts.tsx";

const MOST = 12;

export function Verdicts({ alerts }: { alerts: Alert[] }) {
  const open = alerts.filter((alert) => alert.state === "open");
  const ended = alerts.filter((alert) => alert.state !== "open" && now() - alert.opened_ms < 30 * DAY);
  const sick = new Set(open.filter((alert) => isHealth(alert.kind)).map((alert) => alert.device));
  const shown = [...open, ...ended].slice(0, MOST);
  return (
    <section class="card" aria-labelledby="verdicts">
      <h2 id="verdicts">Sensor health and alerts</h2>
      <p>{sick.size ? `Not well: ${[...sick].join(", ")}.` : "No alert about a sensor is open."}</p>
      {!shown.length && <Empty>No alert in the last thirty days.</Empty>}
      <ul class="verdicts">
        {shown.map((alert) => (
          <li key={alert.id} class={alert.state === "open" ? `open ${alert.severity}` : ""}>
            <a href={alertHref(alert)}>{kindWords(alert.kind)}</a> <SeverityBadge of={alert.severity} />
            <span class="soft"> {[alert.device, alert.channel].filter(Boolean).join(" · ")}</span>
            <p>{alert.evidence}</p>
            <p class="soft">{stateWords(alert)}, opened <Ago ms={alert.opened_ms} />, {alert.state === "open" ? "for" : "lasted"} <Lasting from={alert.opened_ms} to={alert.state === "open" ? null : (alert.cleared_ms ?? alert.updated_ms)} /></p>
          </li>
        ))}
      </ul>
      {open.length + ended.length > MOST && <p class="soft">{open.length + ended.length - MOST} more under Alerts.</p>}
    </section>
  );
}

// Alerts as they come, and one of them in full.
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import * as api from "../api.ts";
import { ALL, keyOf, kinds, kindWords, matches, merged, SEVERITIES, stateWords, type AlertFilter } from "../alerts.ts";
import { returned } from "../live.ts";
import { alertHref } from "../routes.ts";
import { alerts, fresh, looked, seen, tiles } from "../state.ts";
import type { Alert } from "../types.ts";
import { many } from "../units.ts";
import { AlertDetail } from "./alert.tsx";
import { useKeptFocus } from "./focus.ts";
import { Ago, capital, Empty, Icon, Problem, Select, unlessGone, type Pages } from "./parts.tsx";

/** Kept while the page is open: whoever comes back from a turbine finds the list as it was. */
let filterBefore: AlertFilter = ALL;

export function Alerts({ open }: { open: { agent: string; id: string } | null }) {
  const filter = useSignal<AlertFilter>(filterBefore);
  const change = (part: Partial<AlertFilter>) => {
    filter.value = filterBefore = { ...filter.value, ...part };
  };
  const rows = useRef<HTMLUListElement>(null);
  useKeptFocus(rows);
  const pages = usePages(filter.value);
  const told = alerts.value;
  const list = useMemo(() => merged(pages.alerts, told).filter((alert) => matches(alert, filter.value)), [pages.alerts, told, filter.value]);
  const key = open ? keyOf(open) : "";
  useEffect(() => looked(key), [key]);
  useEffect(() => () => seen(), []);
  const known = open ? (told.find((one) => keyOf(one) === key) ?? pages.alerts.find((one) => keyOf(one) === key)) : undefined;
  return (
    <>
      <div class="head">
        <h1>Alerts</h1>
        <p class="soft" aria-live="polite">{pages.busy ? "reading…" : `${many(list.length, "alert")}${pages.next ? " and more" : ""}`}</p>
      </div>
      <Filters filter={filter.value} onChange={change} isBeside={open !== null} />
      <Problem text={pages.error} />
      <div class={open ? "list-detail with" : "list-detail"}>
        <section aria-label="List of alerts" class="list">
          {!list.length && !pages.busy && <Empty>No alert is like this.</Empty>}
          <ul class="alerts" ref={rows}>
            {list.map((alert) => <AlertRow key={keyOf(alert)} alert={alert} isOpen={keyOf(alert) === key} />)}
          </ul>
          {pages.next && <button type="button" onClick={pages.more} disabled={pages.busy}>Show older ones</button>}
        </section>
        {open && <AlertDetail key={key} of={open} known={known} />}
      </div>
    </>
  );
}

function Filters({ filter, onChange, isBeside }: { filter: AlertFilter; onChange: (part: Partial<AlertFilter>) => void; isBeside: boolean }) {
  const names = [...(tiles.value?.keys() ?? [])].sort();
  const state = [["", "any"], ["open", "open"], ["cleared", "cleared"], ["restarted", "agent restarted since"]] as const;
  return (
    <div class={isBeside ? "filters beside-detail" : "filters"}>
      <Select label="State" value={filter.state} options={state} onChange={(value) => onChange({ state: value })} />
      <Select label="Severity" value={filter.severity} options={[["", "any"], ...SEVERITIES.map((one) => [one, one] as const)]} onChange={(severity) => onChange({ severity })} />
      <Select label="Kind" value={filter.kind} options={[["", "any"], ...kinds().map((kind) => [kind, kindWords(kind)] as const)]} onChange={(kind) => onChange({ kind })} />
      <Select label="Turbine" value={filter.agent} options={[["", "any"], ...names.map((name) => [name, name] as const)]} onChange={(agent) => onChange({ agent })} />
      <label class="field grow">
        <span>Text</span>
        <input type="search" value={filter.text} onInput={(event) => onChange({ text: event.currentTarget.value })} />
      </label>
    </div>
  );
}

function AlertRow({ alert, isOpen }: { alert: Alert; isOpen: boolean }) {
  const isNew = fresh.value.has(keyOf(alert));
  const state = ["alert", alert.severity, alert.state, isNew ? "fresh" : ""].join(" ");
  return (
    <li class={state}>
      <a href={alertHref(alert)} data-step data-alert aria-current={isOpen ? "true" : undefined}>
        <span class="alert-top">
          <Icon of={alert.severity} />
          <b>{kindWords(alert.kind)}</b>
          <span class="unseen">{capital(alert.severity)}</span>
          {isNew && <span class="new-mark">new</span>}
          <span class="soft alert-when"><Ago ms={alert.opened_ms} /></span>
        </span>
        <span class="alert-where">{alert.agent}<span class="soft"> {[alert.device, alert.channel].filter(Boolean).join(" · ")}</span></span>
        <span class="alert-evidence">{alert.evidence}</span>
        <span class="soft alert-state">{stateWords(alert)}{alert.acknowledged_by ? `: ${alert.acknowledged_by}` : ""}{alert.comments?.length ? ` · ${many(alert.comments.length, "comment")}` : ""}</span>
      </a>
    </li>
  );
}

/** Alerts as the sink lists them for a filter, page after page. Text is looked for here, in what has come. */
function usePages(filter: AlertFilter): Pages & { more: () => void } {
  const pages = useSignal<Pages>({ alerts: [], next: null, busy: true, error: "" });
  const about = JSON.stringify({ ...filter, text: "" });
  const read = async (after: string | null, signal?: AbortSignal) => {
    pages.value = { ...pages.peek(), busy: true };
    const asked = { ...filter, limit: 100, ...(after ? { after } : {}) };
    const answer = await unlessGone(api.alerts(asked, signal), signal);
    if (!answer) return;
    if (answer.error !== undefined) {
      pages.value = { ...pages.peek(), busy: false, error: answer.error };
      return;
    }
    const before = after ? pages.peek().alerts : [];
    pages.value = { alerts: merged(before, answer.value.alerts), next: answer.value.next, busy: false, error: "" };
  };
  useEffect(() => {
    const stop = new AbortController();
    void read(null, stop.signal);
    return () => stop.abort();
  }, [about, returned.value]);
  return { ...pages.value, more: () => void read(pages.peek().next) };
}

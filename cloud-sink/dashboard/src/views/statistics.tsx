// What a turbine's sensors gave over days: windows, maxima, the rose, turbulence.
import { useSignal } from "@preact/signals";
import * as api from "../api.ts";
import { Days } from "../charts/days.tsx";
import { isEmpty, WindRose } from "../charts/rose.tsx";
import { Turbulence } from "../charts/turbulence.tsx";
import { now } from "../clock.ts";
import { agents } from "../state.ts";
import { date, DAY, dayStart } from "../time.ts";
import type { Agent, Channel, Device, WindAnswer } from "../types.ts";
import { Empty, Problem, Select, Switch, useAsked } from "./parts.tsx";
import { Windows } from "./windows.tsx";

const PERIODS = [["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["365", "1 year"]] as const;
type Period = (typeof PERIODS)[number][0];

/** Kept while the page is open. */
const before = { agent: "", device: "", channel: "", period: "7" as Period, until: "" };

interface Chosen {
  agent: Agent;
  device: Device;
  channel: Channel;
  from: number;
  to: number;
}

const windFirst = (device: Device): Channel | undefined => device.channels.find((one) => one.quantity === "wind-speed") ?? device.channels[0];

/** What is asked for: what was chosen where it exists, else the first that does. */
function chosenOf(wanted: typeof before): Chosen | null {
  const list = [...agents.value.values()].filter((one) => one.devices?.length);
  const agent = list.find((one) => one.agent === wanted.agent) ?? list[0];
  const devices = agent?.devices ?? [];
  const device = devices.find((one) => one.device === wanted.device) ?? devices.find((one) => windFirst(one)?.quantity === "wind-speed") ?? devices[0];
  const channel = device?.channels.find((one) => one.name === wanted.channel) ?? (device && windFirst(device));
  if (!agent || !device || !channel) return null;
  const end = wanted.until ? (dayStart(wanted.until, "utc") ?? now()) + DAY - 1 : now();
  // To the full minute, so that the same question is not asked anew at each turn.
  const to = wanted.until ? end : Math.floor(end / 60_000) * 60_000;
  return { agent, device, channel, from: to - Number(wanted.period) * DAY, to };
}

export function Statistics() {
  const wanted = useSignal({ ...before });
  const change = (part: Partial<typeof before>) => {
    wanted.value = { ...Object.assign(before, part) };
  };
  const chosen = chosenOf(wanted.value);
  return (
    <>
      <div class="head"><h1>Statistics</h1></div>
      {!chosen && <Empty>{agents.value.size ? "No turbine has told yet what it reads." : "Asking the sink…"}</Empty>}
      {chosen && <Chooser chosen={chosen} period={wanted.value.period} until={wanted.value.until} onChange={change} />}
      {chosen && <Figures key={[chosen.agent.agent, chosen.device.device, chosen.channel.name].join("/")} of={chosen} />}
    </>
  );
}

interface ChooserProps {
  chosen: Chosen;
  period: Period;
  until: string;
  onChange: (part: Partial<typeof before>) => void;
}

function Chooser({ chosen: { agent, device, channel }, period, until, onChange }: ChooserProps) {
  const names = [...agents.value.values()].filter((one) => one.devices?.length).map((one) => [one.agent, one.agent] as const);
  const pairs = (list: string[]) => list.map((one) => [one, one] as const);
  return (
    <div class="filters">
      <Select label="Turbine" value={agent.agent} options={names} onChange={(value) => onChange({ agent: value })} />
      <Select label="Device" value={device.device} options={pairs((agent.devices ?? []).map((one) => one.device))} onChange={(value) => onChange({ device: value })} />
      <Select label="Channel" value={channel.name} options={pairs(device.channels.map((one) => one.name))} onChange={(value) => onChange({ channel: value })} />
      <Switch label="Period" value={period} options={PERIODS} onChange={(value) => onChange({ period: value })} />
      <label class="field">
        <span>Up to (UTC)</span>
        <input type="date" value={until} max={date(now(), "utc")} onInput={(event) => onChange({ until: event.currentTarget.value })} />
      </label>
    </div>
  );
}

function Figures({ of }: { of: Chosen }) {
  const { agent: { agent }, device: { device }, channel, from, to } = of;
  const span = `${agent}/${device}/${from}/${to}`;
  const isWind = channel.quantity === "wind-speed";
  const wind = useAsked(`${span} ${isWind}`, (signal) => (isWind ? api.wind(agent, device, from, to, signal) : Promise.resolve(null)));
  // A day's maximum over one day only would be one bar.
  const daysFrom = Math.min(from, to - 7 * DAY);
  const days = useAsked(span, (signal) => api.days(daysFrom, to, signal));
  const rows = (days.data ?? []).flatMap((day) => {
    const found = day.channels.find((one) => one.agent === agent && one.device === device && one.channel === channel.name);
    return found ? [{ date: day.date, of: found }] : [];
  });
  return (
    <>
      <div class="halves figures">
        <section class="card" aria-labelledby="rose">
          <h2 id="rose">Wind rose</h2>
          <Problem text={wind.error} />
          {!isWind && <Empty>A rose is drawn for channels of wind speed.</Empty>}
          {isWind && !wind.data && wind.busy && <Empty>Asking the sink…</Empty>}
          {wind.data && <Rose rose={wind.data.rose} />}
        </section>
        <section class="card" aria-labelledby="turbulence">
          <h2 id="turbulence">Turbulence intensity</h2>
          {!isWind && <Empty>Turbulence is a figure of wind speed.</Empty>}
          {isWind && !wind.data && wind.busy && <Empty>Asking the sink…</Empty>}
          {wind.data && <Turbulence bins={wind.data.turbulence} iec={wind.data.iec} />}
        </section>
      </div>
      <section class="card figures-days" aria-labelledby="days">
        <h2 id="days">Daily maximum <span class="soft">UTC days; pale: greatest, solid: mean</span></h2>
        <Problem text={days.error} />
        {rows.length ? <div class="scroll" tabIndex={0} role="group" aria-label="Chart of days"><Days rows={rows} /></div> : <Empty>{days.busy ? "Asking the sink…" : "No day is known in this time."}</Empty>}
      </section>
      <Windows agent={agent} device={device} channel={channel} from={from} to={to} />
    </>
  );
}

function Rose({ rose }: { rose: WindAnswer["rose"] }) {
  if (!rose.has_direction) return <Empty>This device gives no wind direction.</Empty>;
  return isEmpty(rose) ? <Empty>No window ended in this time.</Empty> : <WindRose rose={rose} />;
}

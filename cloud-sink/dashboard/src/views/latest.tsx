// What each channel of a turbine says now, or why it says nothing.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import * as api from "../api.ts";
import { now, slow } from "../clock.ts";
import { latest as newestOf, fromSeries } from "../columns.ts";
import { isCircle } from "../charts/panels.ts";
import { follow, returned } from "../live.ts";
import { prefs } from "../prefs.ts";
import { tiles } from "../state.ts";
import { MINUTE } from "../time.ts";
import { isStale } from "../trouble.ts";
import type { Agent, Channel, Device, LiveReadings } from "../types.ts";
import { compass, figure } from "../units.ts";
import { Ago, Empty } from "./parts.tsx";

interface Said {
  time: number;
  value: number | null;
  reason: string;
  score: number | null;
}

type Known = Map<string, Said>;

export function Latest({ agent }: { agent: Agent }) {
  const known = useSignal<Known>(new Map());
  const take = (news: Known) => (known.value = newer(known.value, news));
  useEffect(() => {
    const stop = new AbortController();
    for (const device of agent.devices ?? []) void ask(agent.agent, device, stop.signal).then(take, () => undefined);
    return () => stop.abort();
  }, [agent.agent, returned.value]);
  useEffect(() => follow(agent.agent, (readings) => take(fromRows(readings))), [agent.agent]);
  const devices = agent.devices ?? [];
  return (
    <section class="card" aria-labelledby="latest">
      <h2 id="latest">Now</h2>
      {!devices.length && <Empty>No device is known of this turbine.</Empty>}
      {devices.map((device) => <DeviceTable key={device.device} device={device} known={known.value} />)}
    </section>
  );
}

function DeviceTable({ device, known }: { device: Device; known: Known }) {
  return (
    <table class="now">
      <caption>{device.location} <span class="soft">{device.device}</span></caption>
      <thead><tr><th scope="col">Channel</th><th scope="col" class="number">Value</th><th scope="col" class="number">Score</th><th scope="col">Read</th></tr></thead>
      <tbody>
        {device.channels.map((channel) => (
          <Row key={channel.name} channel={channel} said={known.get(`${device.device}/${channel.name}`)} interval_ms={device.interval_ms} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ channel, said, interval_ms }: { channel: Channel; said: Said | undefined; interval_ms: number }) {
  const isOld = said === undefined || isStale(said.time, slow.value, interval_ms);
  return (
    <tr class={isOld ? "old" : ""}>
      <th scope="row">{channel.name}</th>
      <td class="number">{valueWords(channel, said)}{isOld && said && said.value !== null ? <span class="stale-mark"> stale</span> : null}</td>
      <td class="number soft">{said?.score === null || said === undefined || isOld ? "" : said.score.toFixed(2)}</td>
      <td class="soft">{said ? <Ago ms={said.time} /> : ""}</td>
    </tr>
  );
}

function valueWords(channel: Channel, said: Said | undefined) {
  if (!said) return "–";
  if (said.value === null) return <span class="no-data">no data{said.reason && `: ${said.reason}`}</span>;
  const text = figure(said.value, channel.unit, prefs.value.unit);
  return isCircle(channel.quantity) ? `${text} ${compass(said.value)}` : text;
}

/** The last five minutes in which the turbine was heard, for whoever has just come: what is old says more than nothing. */
async function ask(agent: string, device: Device, signal: AbortSignal): Promise<Known> {
  const channels = device.channels.map((channel) => channel.name);
  const to = Math.round(Math.min(now(), tiles.peek()?.get(agent)?.seen_ms ?? now()));
  const answer = await api.series({ agent, device: device.device, channels, from: to - 5 * MINUTE, to, points: 300 }, signal);
  const found: Known = new Map();
  for (const series of answer.channels) {
    const columns = fromSeries(series);
    const last = newestOf(columns);
    if (last) found.set(`${device.device}/${series.channel}`, { time: last.time, value: last.value, reason: "", score: columns.score.at(-1) ?? null });
  }
  return found;
}

function fromRows({ device, rows }: LiveReadings): Known {
  const found: Known = new Map();
  for (const { time_ms: time, values, no_data, scores } of rows) {
    for (const [channel, value] of Object.entries(values)) found.set(`${device}/${channel}`, { time, value, reason: "", score: scores[channel] ?? null });
    for (const [channel, reason] of Object.entries(no_data)) found.set(`${device}/${channel}`, { time, value: null, reason, score: null });
  }
  return found;
}

function newer(known: Known, news: Known): Known {
  const all = new Map(known);
  for (const [key, said] of news) if ((all.get(key)?.time ?? 0) <= said.time) all.set(key, said);
  return all;
}

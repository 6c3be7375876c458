// Where each turbine's messages are: nothing is lost without being told.
import * as api from "../api.ts";
import { farmSentence, sentences, shares, wholeUpTo, type Share } from "../deliveries.ts";
import { prefs } from "../prefs.ts";
import { turbineHref } from "../routes.ts";
import { exact } from "../time.ts";
import type { AgentDelivery, Lane } from "../types.ts";
import { count, many } from "../units.ts";
import { Ago, Empty, Problem, useAsked } from "./parts.tsx";

const EVERY_MS = 5_000;
const REFUSED_EVERY_MS = 30_000;

export function Delivery() {
  const { data, error, busy } = useAsked("delivery", () => api.delivery(), EVERY_MS);
  const agents = [...(data?.agents ?? [])].sort((a, b) => worst(b) - worst(a) || a.agent.localeCompare(b.agent, "en", { numeric: true }));
  const farm = data && farmSentence(data.agents);
  return (
    <>
      <div class="head">
        <h1>Delivery</h1>
        {farm && <p class={`sentence ${farm.tone}`}>{farm.text}.</p>}
      </div>
      <p class="soft">Each turbine numbers its messages and keeps them on its disk until they are stored here. What is missing is known by number.</p>
      <Legend />
      <Problem text={error} />
      {!data && busy && <Empty>Asking the sink…</Empty>}
      {data && !agents.length && <Empty>No turbine has been heard of yet.</Empty>}
      <ul class="deliveries">{agents.map((agent) => <AgentCard key={agent.agent} agent={agent} />)}</ul>
      <RefusedMessages />
    </>
  );
}

/** What came and was understood by nobody: an agent of another version, or somebody else on the broker. */
function RefusedMessages() {
  const { data, error } = useAsked("refused", () => api.refused(), REFUSED_EVERY_MS);
  const zone = prefs.value.zone;
  if (!data?.length) return <Problem text={error} />;
  return (
    <section class="card" aria-labelledby="refused">
      <h2 id="refused">Refused messages</h2>
      <p class="soft">They could not be understood and are kept as they came; the latest first.</p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Table of refused messages">
        <table class="windows">
          <thead><tr><th scope="col">First came</th><th scope="col">From</th><th scope="col">Why</th><th scope="col">Topic</th><th scope="col" class="number">Bytes</th></tr></thead>
          <tbody>
            {data.map((message) => (
              <tr key={`${message.first_seen_ms} ${message.topic} ${message.bytes}`}>
                <th scope="row">{exact(message.first_seen_ms, zone)}</th>
                <td>{message.agent}</td><td>{message.reason}</td><td>{message.topic}</td>
                <td class="number" title={message.bytes}>{count(message.length)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const RANK: Record<Share["tone"], number> = { well: 0, waiting: 1, missing: 2, lost: 3 };

const worst = (agent: AgentDelivery): number => Math.max(agent.spool_error ? 2.5 : 0, agent.online ? 0 : RANK.waiting, ...agent.lanes.flatMap(shares).map((share) => RANK[share.tone]));

function Legend() {
  return (
    <ul class="legend" aria-label="What the bars show">
      <li><i class="dot well" />stored here</li><li><i class="dot waiting" />on the turbine's disk</li>
      <li><i class="dot missing" />not received yet</li><li><i class="dot lost" />lost, with the reason</li>
    </ul>
  );
}

function AgentCard({ agent }: { agent: AgentDelivery }) {
  return (
    <li class="card delivery">
      <div class="head">
        <h2><a href={turbineHref(agent.agent)}>{agent.agent}</a></h2>
        <p class="soft">{agent.online ? "heard" : "not heard, last"} <Ago ms={agent.seen_ms} />{agent.dropped_rows > 0 && ` · ${many(agent.dropped_rows, "row")} dropped by the agent`}</p>
      </div>
      {agent.spool_error && <p class="problem">Its disk: {agent.spool_error}</p>}
      {!agent.online && agent.lanes.length > 0 && <p class="sentence waiting">What it reads stays on its disk, and comes when it is heard again</p>}
      {!agent.lanes.length && <Empty>It has not sent anything yet.</Empty>}
      {agent.lanes.map((lane) => <LaneRow key={`${lane.lane} ${lane.epoch}`} lane={lane} online={agent.online} />)}
    </li>
  );
}

function LaneRow({ lane, online }: { lane: Lane; online: boolean }) {
  const parts = shares(lane);
  return (
    <div class="lane-delivery">
      <h3>{lane.lane} <span class="soft" title={`Epoch ${lane.epoch}. When the turbine last told of itself it knew of ${count(lane.acked)} that they are stored.`}>{count(lane.durable)} made, stored whole up to {count(wholeUpTo(lane))}</span></h3>
      <div class="shares" role="img" aria-label={parts.map((part) => `${count(part.n)} ${part.label}`).join(", ") || "nothing yet"}>
        {parts.map((part) => <i key={part.tone} class={part.tone} style={{ flexGrow: part.n }} />)}
      </div>
      <ul class="sentences">
        {sentences(lane, online).map((said) => (
          <li key={said.text + (said.detail ?? "")} class={`sentence ${said.tone}`}>{said.text}{said.detail && <span class="soft"> ({said.detail})</span>}</li>
        ))}
      </ul>
    </div>
  );
}

// Where a turbine's messages are, in words. A lane numbers its messages; what is missing is known by number.
import { count, many } from "./units.ts";
import type { AgentDelivery, Hole, Lane } from "./types.ts";

export type Tone = "well" | "waiting" | "missing" | "lost";

export interface Sentence {
  tone: Tone;
  text: string;
  detail?: string;
}

export const sizeOf = (hole: Hole): number => Math.max(0, hole.to - hole.from + 1);
const numbers = (hole: Hole): string => (hole.from === hole.to ? `number ${count(hole.from)}` : `numbers ${count(hole.from)} to ${count(hole.to)}`);

/**
 * What is on the turbine's disk and not here, as far as it has told: all beyond the last that came. What it has said to wait
 * may have come since.
 */
const onDisk = (lane: Lane): number => Math.max(0, lane.durable - lane.stored);

/** The last message up to which none is missing; numbers of an earlier spool are others. */
export const wholeUpTo = (lane: Lane): number => Math.min(lane.stored, ...lane.holes.filter((hole) => hole.epoch === lane.epoch).map((hole) => hole.from - 1));

/** What is to be said of a lane, worst first. A hole below the agent's confirmed end with no reason may still be filled. */
export function sentences(lane: Lane, online: boolean): Sentence[] {
  const said: Sentence[] = [];
  for (const hole of lane.holes.filter((hole) => hole.state === "lost")) {
    said.push({ tone: "lost", text: `${count(sizeOf(hole))} lost: ${hole.reason ?? "no reason told"}`, detail: numbers(hole) });
  }
  const open = lane.holes.filter((hole) => hole.state !== "lost");
  for (const hole of open.slice(0, 5)) {
    said.push({ tone: "missing", text: `${count(sizeOf(hole))} not received yet`, detail: numbers(hole) });
  }
  if (open.length > 5) said.push({ tone: "missing", text: `and ${many(open.length - 5, "more hole")}` });
  const waiting = onDisk(lane);
  if (waiting > 0) {
    const way = online ? "on their way" : "will come when the turbine is heard again";
    said.push({ tone: "waiting", text: `${count(waiting)} on the turbine's disk, ${way}` });
  }
  return said.length ? said : [{ tone: "well", text: online ? "Nothing is missing" : "Nothing that it told of is missing" }];
}

export interface Share {
  tone: Tone;
  label: string;
  n: number;
}

/** The parts of a lane's bar. */
export function shares(lane: Lane): Share[] {
  const sum = (state: Hole["state"]) => lane.holes.filter((hole) => hole.state === state).reduce((n, hole) => n + sizeOf(hole), 0);
  const [lost, missing] = [sum("lost"), sum("not received")];
  const highest = Math.max(lane.stored, lane.acked, ...lane.holes.map((hole) => hole.to));
  const parts: Share[] = [
    { tone: "well", label: "stored", n: Math.max(0, highest - lost - missing) },
    { tone: "waiting", label: "on the turbine's disk", n: onDisk(lane) },
    { tone: "missing", label: "not received", n: missing },
    { tone: "lost", label: "lost", n: lost },
  ];
  return parts.filter((part) => part.n > 0);
}

/** One sentence for the whole farm. Of a turbine that is not heard nobody knows how much it has read since. */
export function farmSentence(agents: AgentDelivery[]): Sentence {
  const lanes = agents.flatMap((agent) => agent.lanes);
  const sum = (tone: Tone) => lanes.flatMap(shares).filter((share) => share.tone === tone).reduce((n, share) => n + share.n, 0);
  const [lost, missing, waiting] = [sum("lost"), sum("missing"), sum("waiting")];
  const unheard = agents.filter((agent) => !agent.online).length;
  const also = [
    waiting ? `; ${count(waiting)} on the turbines' disks${unheard ? "" : ", on their way"}` : "",
    unheard ? `; ${many(unheard, "turbine")} not heard, ${unheard === 1 ? "keeps" : "keep"} what is read on disk` : "",
  ].join("");
  if (lost) return { tone: "lost", text: `${many(lost, "message")} lost for good${also}` };
  if (missing) return { tone: "missing", text: `${many(missing, "message")} not received yet${also}` };
  if (also) return { tone: "waiting", text: `Nothing is lost${also}` };
  return { tone: "well", text: "Nothing is missing" };
}

// Asks the sink.
import type {
  Agent, Alert, AlertPage, CompanyLogin, Day, Deed, Delivery, Demo, Me, Overview, Refusal, Series, StatsWindow, WindAnswer,
} from "./types.ts";
import type { AlertFilter } from "./alerts.ts";
import { duration } from "./time.ts";

const PATIENCE_MS = 15_000;

/** An answer that says no, or none at all (status 0). */
export class Refused extends Error {
  readonly status: number;
  readonly oidc: CompanyLogin | null;

  constructor(status: number, detail: string, oidc: CompanyLogin | null = null) {
    super(detail);
    this.status = status;
    this.oidc = oidc;
  }
}

type Parameters = Record<string, string | number | undefined>;

function address(path: string, parameters: Parameters = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "") asked.set(name, String(value));
  }
  const query = asked.toString();
  return `/api/v1/${path}${query ? `?${query}` : ""}`;
}

async function refusal(answer: Response): Promise<Refused> {
  const body = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string; error?: string; oidc?: CompanyLogin | null };
  const words: Record<number, string> = { 403: "Your role does not allow this", 404: "The sink knows nothing of this" };
  const said = body.detail ?? body.error ?? body.title ?? answer.statusText;
  const text = words[answer.status] ? `${words[answer.status]}${said ? `: ${said}` : ""}` : said || `status ${answer.status}`;
  return new Refused(answer.status, text, body.oidc ?? null);
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, patience]) : patience;
  try {
    const answer = await fetch(path, { ...init, signal });
    if (answer.ok) return answer;
    throw await refusal(answer);
  } catch (error) {
    if (error instanceof Refused || init.signal?.aborted) throw error;
    throw new Refused(0, patience.aborted ? `The sink gave no answer within ${duration(PATIENCE_MS)}` : "The sink cannot be reached");
  }
}

async function get<T>(path: string, parameters?: Parameters, signal?: AbortSignal): Promise<T> {
  return (await ask(address(path, parameters), { signal: signal ?? null })).json() as Promise<T>;
}

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  return ask(address(path), init);
}

export const me = () => get<Me>("me");
export const signIn = (token: string) => send("POST", "session", { token });
export const signOut = () => send("DELETE", "session");
export const overview = () => get<Overview>("overview");
export const agents = () => get<{ agents: Agent[] }>("agents").then((answer) => answer.agents);
export const delivery = () => get<Delivery>("delivery");
export const refused = () => get<{ poison: Refusal[] }>("poison", { limit: 50 }).then((answer) => answer.poison);
export const audit = (after?: string) => get<{ entries: Deed[]; next: string | null }>("audit", { after });
export const demo = () => get<Demo>("demo");
export const fault = (name: string, turbine: number) => send("POST", "demo/fault", { fault: name, turbine });
export const link = (up: boolean) => send("POST", "demo/link", { up });

export interface Asked {
  agent: string;
  device: string;
  channels: string[];
  from: number;
  to: number;
  points: number;
}

export function series({ agent, device, channels, from, to, points }: Asked, signal?: AbortSignal): Promise<Series> {
  return get<Series>("series", { agent, device, channel: channels.join(","), from, to, points }, signal);
}

export interface Measured {
  agent: string;
  device: string;
  channel: string;
  from: number;
  to: number;
}

/** All windows of a span. The sink gives 1,000 at most, so a longer span is asked a week at a time, newest last. */
export async function stats(of: Measured, signal?: AbortSignal): Promise<StatsWindow[]> {
  const [week, rows] = [6 * 86_400_000, [] as StatsWindow[]];
  for (let from = of.from; from < of.to; from += week) {
    const to = Math.min(of.to, from + week - 1);
    const answer = await get<{ windows: StatsWindow[] }>("stats", { ...of, from, to, limit: 1_000 }, signal);
    rows.push(...answer.windows);
  }
  return rows;
}

export const days = (from: number, to: number, signal?: AbortSignal) =>
  get<{ days: Day[] }>("days", { from, to }, signal).then((answer) => answer.days);

export const wind = (agent: string, device: string, from: number, to: number, signal?: AbortSignal) =>
  get<WindAnswer>("wind", { agent, device, from, to }, signal);

export interface AlertsAsked extends Partial<AlertFilter> {
  from?: number;
  to?: number;
  limit?: number;
  after?: string;
}

export function alerts({ text: _, ...asked }: AlertsAsked, signal?: AbortSignal): Promise<AlertPage> {
  return get<AlertPage>("alerts", asked, signal);
}

const ofAlert = (alert: { agent: string; id: string }) => `alerts/${encodeURIComponent(alert.agent)}/${encodeURIComponent(alert.id)}`;

export const acknowledge = (alert: Alert, note: string, by?: string) =>
  send("POST", `${ofAlert(alert)}/acknowledge`, { note, by }).then((answer) => answer.json() as Promise<Alert>);

export const comment = (alert: Alert, text: string, by?: string) =>
  send("POST", `${ofAlert(alert)}/comments`, { text, by }).then((answer) => answer.json() as Promise<Alert>);

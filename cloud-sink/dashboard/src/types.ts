// What the sink's API says, as far as the page reads it. Times are milliseconds since 1970, UTC.

export type Role = "viewer" | "operator" | "admin";
export type Severity = "info" | "warning" | "critical";
export type TileState = "critical" | "silent" | "warning" | "failing" | "well" | "new";

export interface CompanyLogin {
  name: string;
  href: string;
}

export interface Me {
  name: string;
  role: Role;
  auth: boolean;
  farm: string;
  version: string;
  demo: boolean;
  oidc: CompanyLogin | null;
}

/** A message that the sink could not take; `poison` of the API. */
export interface Refusal {
  agent: string;
  topic: string;
  reason: string;
  first_seen_ms: number;
  length: number;
  bytes: string;
}

/** Something that somebody did. */
export interface Deed {
  at_ms: number;
  who: string;
  role: Role;
  what: string;
  about: string;
}

export interface OpenAlert {
  id: string;
  severity: Severity;
  kind: string;
  device: string;
  channel: string;
  evidence: string;
  opened_ms: number;
}

export interface Wind {
  device: string;
  channel: string;
  value: number;
  unit: string;
  time_ms: number;
}

export interface Spark {
  from_ms: number;
  step_ms: number;
  mean: (number | null)[];
}

export interface Tile {
  agent: string;
  locations: string[];
  online: boolean;
  seen_ms: number | null;
  state: TileState;
  open: OpenAlert[];
  open_count: number;
  waiting: number;
  spool_error: string;
  failing: { device: string; reason: string }[];
  wind: Wind | null;
  spark: Spark | null;
}

export interface Overview {
  farm: string;
  now_ms: number;
  turbines: Tile[];
}

export interface Channel {
  name: string;
  quantity: string;
  unit: string;
}

export interface Device {
  device: string;
  location: string;
  link?: string;
  interval_ms: number;
  channels: Channel[];
}

export interface Agent {
  agent: string;
  online: boolean;
  seen_ms: number | null;
  version: string | null;
  devices: Device[] | null;
}

export type Level = "reading" | "minute" | "window" | "day";
export type Column = (number | null)[];

export interface SeriesChannel {
  channel: string;
  quantity: string;
  unit: string;
  time_ms: number[];
  min: Column;
  max: Column;
  mean: Column;
  score: Column | null;
}

export interface Series {
  agent: string;
  device: string;
  from_ms: number;
  to_ms: number;
  level: Level;
  channels: SeriesChannel[];
}

export interface StatsWindow {
  start_ms: number;
  window_ms: number;
  unit: string;
  n: number;
  due: number;
  availability: number | null;
  mean: number | null;
  min: number | null;
  max: number | null;
  std: number | null;
  turbulence: number | null;
  gust_3s: number | null;
}

export interface DayChannel {
  agent: string;
  device: string;
  channel: string;
  unit: string;
  availability: number | null;
  mean: number | null;
  max: number | null;
  gust_3s: number | null;
}

export interface Day {
  date: string;
  channels: DayChannel[];
}

export interface WindAnswer {
  rose: { sectors: number; classes_mps: number[]; counts: number[][]; calm: number; has_direction: boolean };
  turbulence: { speed_mps: number; n: number; mean: number; p90: number }[];
  iec: { class: string; i_ref: number }[];
}

export interface Comment {
  at_ms: number;
  by: string;
  text: string;
}

export interface Alert {
  agent: string;
  id: string;
  location: string;
  device: string;
  channel: string;
  kind: string;
  severity: Severity;
  state: "open" | "cleared" | "restarted";
  opened_ms: number;
  updated_ms: number;
  cleared_ms: number | null;
  value: number | null;
  unit: string;
  wind_speed: number | null;
  anomaly_score: number | null;
  threshold: number | null;
  evidence: string;
  notified_ms: number | null;
  acknowledged_by: string | null;
  acknowledged_ms: number | null;
  note: string | null;
  comments?: Comment[];
}

export interface AlertPage {
  alerts: Alert[];
  next: string | null;
}

export interface Hole {
  epoch: string;
  from: number;
  to: number;
  reason: string | null;
  state: "not received" | "lost";
}

export interface Lane {
  lane: string;
  epoch: string;
  durable: number;
  acked: number;
  waiting: number;
  stored: number;
  holes: Hole[];
}

export interface AgentDelivery {
  agent: string;
  online: boolean;
  seen_ms: number | null;
  lanes: Lane[];
  dropped_rows: number;
  spool_error: string;
}

export interface Delivery {
  now_ms: number;
  agents: AgentDelivery[];
}

export interface LiveRow {
  time_ms: number;
  values: Record<string, number>;
  no_data: Record<string, string>;
  scores: Record<string, number>;
}

export interface LiveReadings {
  agent: string;
  device: string;
  rows: LiveRow[];
}

export interface Demo {
  turbines: number;
  faults: { name: string; says: string }[];
  link: boolean;
}

// Addresses of views, behind the #.

export type Route =
  | { view: "overview" }
  | { view: "turbine"; agent: string }
  | { view: "alerts" }
  | { view: "alert"; agent: string; id: string }
  | { view: "delivery" }
  | { view: "statistics" }
  | { view: "audit" };

/** The view that an address names; the overview where it names none. */
export function parse(hash: string): Route {
  const [view = "", ...rest] = hash.replace(/^#?\/?/, "").split("/").map(plain);
  const [agent, id] = rest;
  if (view === "turbine" && agent) return { view, agent };
  if (view === "alert" && agent && id) return { view, agent, id };
  if (view === "alerts" || view === "delivery" || view === "statistics" || view === "audit") return { view };
  return { view: "overview" };
}

function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const turbineHref = (agent: string): string => `#/turbine/${encodeURIComponent(agent)}`;
export const alertHref = (alert: { agent: string; id: string }): string =>
  `#/alert/${encodeURIComponent(alert.agent)}/${encodeURIComponent(alert.id)}`;

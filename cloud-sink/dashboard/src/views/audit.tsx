// Who did what: for those who answer for it.
import { useSignal } from "@preact/signals";
import * as api from "../api.ts";
import { prefs } from "../prefs.ts";
import { exact } from "../time.ts";
import type { Deed } from "../types.ts";
import { Empty, Problem, unlessGone, useAsked } from "./parts.tsx";

export function Audit() {
  const { data, error, busy } = useAsked("audit", () => api.audit());
  const older = useSignal<{ entries: Deed[]; next: string | null } | null>(null);
  const trouble = useSignal("");
  const entries = [...(data?.entries ?? []), ...(older.value?.entries ?? [])];
  const next = older.value ? older.value.next : data?.next ?? null;
  const more = async () => {
    const answer = await unlessGone(api.audit(next ?? undefined));
    trouble.value = answer?.error ?? "";
    if (answer && answer.error === undefined) older.value = { entries: [...(older.value?.entries ?? []), ...answer.value.entries], next: answer.value.next };
  };
  return (
    <>
      <div class="head"><h1>Who did what</h1></div>
      <p class="soft">Who signed in, acknowledged, commented, commanded; the latest first.</p>
      <Problem text={error || trouble.value} />
      {!entries.length && <Empty>{busy ? "Asking the sink…" : error ? "" : "Nobody has done anything yet."}</Empty>}
      {entries.length > 0 && (
        <div class="scroll card" tabIndex={0} role="group" aria-label="Table of what was done">
          <table class="windows">
            <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">Role</th><th scope="col">What</th><th scope="col">Of what</th></tr></thead>
            <tbody>{entries.map((deed) => <Row key={`${deed.at_ms} ${deed.who} ${deed.what} ${deed.about}`} deed={deed} />)}</tbody>
          </table>
        </div>
      )}
      {next && <button type="button" onClick={more}>Show older</button>}
    </>
  );
}

function Row({ deed }: { deed: Deed }) {
  return (
    <tr>
      <th scope="row">{exact(deed.at_ms, prefs.value.zone)}</th>
      <td>{deed.who}</td><td>{deed.role}</td><td>{deed.what}</td><td>{deed.about}</td>
    </tr>
  );
}

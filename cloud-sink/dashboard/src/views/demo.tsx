// In a simulated farm: faults to raise, and the link to cut.
import { useSignal } from "@preact/signals";
import * as api from "../api.ts";
import { Problem, unlessGone, useAsked } from "./parts.tsx";

export function DemoPanel() {
  const { data, again } = useAsked("demo", () => api.demo());
  const turbine = useSignal(1);
  const said = useSignal("");
  const error = useSignal("");
  const act = async (what: Promise<unknown>, words: string) => {
    const answer = await unlessGone(what);
    if (!answer) return;
    error.value = answer.error ?? "";
    said.value = answer.error === undefined ? words : "";
    again();
  };
  return (
    <section class="card demo" aria-label="Simulated farm">
      <p><b>Simulated farm.</b> <span class="soft" role="status">{said.value || "Raise a fault and see how it is told."}</span></p>
      {data && (
        <div class="demo-row">
          <label class="field">
            <span>Turbine</span>
            <select value={String(turbine.value)} onChange={(event) => (turbine.value = Number(event.currentTarget.value))}>
              {Array.from({ length: data.turbines }, (_, index) => <option key={index} value={String(index + 1)}>{index + 1}</option>)}
            </select>
          </label>
          {data.faults.map(({ name, says }) => (
            <button type="button" key={name} title={says} onClick={() => act(api.fault(name, turbine.value), `Turbine ${turbine.value}: ${says}`)}>{name}</button>
          ))}
          <button type="button" class={data.link ? "" : "primary"} onClick={() => act(api.link(!data.link), data.link ? "The link is cut: the turbines keep everything on disk." : "The link is back.")}>
            {data.link ? "cut the link" : "restore the link"}
          </button>
        </div>
      )}
      <Problem text={error.value} />
    </section>
  );
}

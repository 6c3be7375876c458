// Which channels are drawn, and which other turbines beside them.
import { useSignal } from "@preact/signals";
import { isCircle, placeOf, quantityWords, type Source } from "../charts/panels.ts";
import { prefs } from "../prefs.ts";
import { agents } from "../state.ts";
import { shownUnit } from "../units.ts";

interface Props {
  agent: string;
  own: Source[];
  chosen: string[];
  onChoose: (keys: string[]) => void;
  others: Source[];
  onCompare: (others: Source[]) => void;
  find: (agent: string, quantity: string) => Source | null;
}

const MOST_OTHERS = 4;
const MOST_CHANNELS = 8;

export function Channels(props: Props) {
  const { own, chosen, onChoose } = props;
  const devices = [...new Set(own.map((source) => source.device))];
  const toggle = (key: string) => onChoose(chosen.includes(key) ? chosen.filter((one) => one !== key) : [...chosen, key]);
  return (
    <>
      <section class="card" aria-labelledby="channels">
        <h2 id="channels">Channels</h2>
        {devices.map((device) => (
          <fieldset key={device} class="ticks">
            <legend class="soft">{device}</legend>
            {own.filter((source) => source.device === device).map((source) => (
              <label key={source.key}>
                <input type="checkbox" checked={chosen.includes(source.key)} onChange={() => toggle(source.key)}
                  disabled={!chosen.includes(source.key) && chosen.length >= MOST_CHANNELS} />
                <Swatch at={colourOf(source, props)} />
                <span>{source.channel} <span class="soft">{shownUnit(source.unit, prefs.value.unit)}</span></span>
              </label>
            ))}
          </fieldset>
        ))}
        {chosen.length >= MOST_CHANNELS && <p class="soft">{MOST_CHANNELS} at a time; more could not be told apart.</p>}
      </section>
      <Compare {...props} />
    </>
  );
}

/** The colour that a line has in the charts. */
function colourOf(source: Source, { own, chosen, others }: Props): number {
  return placeOf(source.key, [...own.filter((one) => chosen.includes(one.key)), ...others]);
}

function Swatch({ at }: { at: number }) {
  return <i class={at < 0 ? "swatch none" : `swatch line-${(at % 8) + 1}`} aria-hidden="true" />;
}

function Compare(props: Props) {
  const { agent, own, chosen, others, onCompare, find } = props;
  const quantities = [...new Set(own.filter((source) => chosen.includes(source.key)).map((source) => source.quantity))];
  const wanted = useSignal("");
  const quantity = quantities.includes(wanted.value) ? wanted.value : (quantities.find((one) => !isCircle(one)) ?? quantities[0] ?? "");
  const names = [...agents.value.keys()].filter((name) => name !== agent && find(name, quantity) && !others.some((one) => one.agent === name && one.quantity === quantity));
  const add = (name: string) => {
    const source = find(name, quantity);
    if (source) onCompare([...others, source]);
  };
  return (
    <section class="card" aria-labelledby="compare">
      <h2 id="compare">Compare</h2>
      <label class="field">
        <span>Quantity</span>
        <select value={quantity} onChange={(event) => (wanted.value = event.currentTarget.value)}>
          {quantities.map((one) => <option key={one} value={one}>{quantityWords(one)}</option>)}
        </select>
      </label>
      <label class="field">
        <span>Add a turbine (at most {MOST_OTHERS})</span>
        <select value="" disabled={others.length >= MOST_OTHERS || !names.length} onChange={(event) => { add(event.currentTarget.value); event.currentTarget.value = ""; }}>
          <option value="">{names.length ? "choose…" : "no other turbine gives it"}</option>
          {names.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <ul class="chips">
        {others.map((source) => (
          <li key={source.key}>
            <Swatch at={colourOf(source, props)} />{source.agent} <span class="soft">{source.channel}</span>
            <button type="button" aria-label={`Remove ${source.agent} ${source.channel}`} onClick={() => onCompare(others.filter((one) => one !== source))}>×</button>
          </li>
        ))}
      </ul>
    </section>
  );
}

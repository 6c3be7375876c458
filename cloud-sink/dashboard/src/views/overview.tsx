// All turbines, the ones in trouble first.
import { signal, useComputed } from "@preact/signals";
import { Component } from "preact";
import { useRef } from "preact/hooks";
import { kindWords } from "../alerts.ts";
import { HEIGHT, path, topOf, WIDTH } from "../charts/spark.ts";
import { slow } from "../clock.ts";
import { prefs } from "../prefs.ts";
import { turbineHref } from "../routes.ts";
import { counts, intervalOf, me, ranked, tiles } from "../state.ts";
import { isStale, lastSeen, ORDER, says, STATE_WORDS, type Ranked, type Shown } from "../trouble.ts";
import { exact } from "../time.ts";
import { count, digits, factor, many } from "../units.ts";
import type { Tile, Wind } from "../types.ts";
import { DemoPanel } from "./demo.tsx";
import { useKeptFocus } from "./focus.ts";
import { Ago, Empty, Icon, StateBadge } from "./parts.tsx";

/** Kept while the page is open: whoever comes back from a turbine finds what was chosen. */
const only = signal<Shown | "">("");
const text = signal("");

export function Overview() {
  const shown = useComputed(() => ranked.value.filter((one) => (!only.value || one.shown === only.value) && says(one.tile, text.value)));
  const top = useComputed(() => topOf(ranked.value.map((one) => one.tile.spark)));
  const list = useRef<HTMLUListElement>(null);
  useKeptFocus(list);
  // Both, for what stands above the tiles depends on who is asking, and nothing should move.
  const isLoaded = tiles.value !== null && me.value !== null;
  return (
    <>
      <div class="head">
        <h1>Overview</h1>
        <label class="field text-filter">
          <span class="unseen">Filter turbines by text</span>
          <input type="search" placeholder="Filter by name, place, alert" value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
        </label>
        <StateFilter only={only.value} onChange={(state) => (only.value = state)} />
      </div>
      {me.value?.demo && <DemoPanel />}
      {!isLoaded && <Empty>Asking the sink…</Empty>}
      {isLoaded && !ranked.value.length && <Empty>No turbine has been heard of yet. Start an agent that names this farm, and it appears here by itself.</Empty>}
      {ranked.value.length > 0 && !shown.value.length && <Empty>No turbine is like this. <button type="button" onClick={() => { only.value = ""; text.value = ""; }}>Show all {count(ranked.value.length)}</button></Empty>}
      <ul class="tiles" ref={list}>
        {isLoaded && shown.value.map((one) => <TileCard key={one.tile.agent} one={one} top={top.value} />)}
      </ul>
    </>
  );
}

function StateFilter({ only, onChange }: { only: Shown | ""; onChange: (state: Shown | "") => void }) {
  const all = ranked.value.length;
  const list = useRef<HTMLDivElement>(null);
  useKeptFocus(list);
  return (
    <div class="filter" role="group" aria-label="Filter by state" ref={list}>
      <button type="button" aria-pressed={only === ""} onClick={() => onChange("")}>All {count(all)}</button>
      {ORDER.filter((state) => counts.value.has(state) || only === state).map((state) => (
        <button type="button" key={state} aria-pressed={only === state} onClick={() => onChange(only === state ? "" : state)}>
          <Icon of={state} />{STATE_WORDS[state]} {count(counts.value.get(state) ?? 0)}
        </button>
      ))}
    </div>
  );
}

interface Card {
  one: Ranked;
  top: number;
}

/** Drawn again only when its turbine has changed: a thousand of them stand on one page. */
class TileCard extends Component<Card> {
  override shouldComponentUpdate(next: Card): boolean {
    return next.one !== this.props.one || next.top !== this.props.top;
  }

  override render() {
    return <TileBody {...this.props} />;
  }
}

function TileBody({ one: { tile, shown }, top }: Card) {
  return (
    <li class={`tile ${shown}`}>
      <div class="tile-top">
        <h2><a href={turbineHref(tile.agent)} data-step title={tile.agent}>{tile.agent}</a></h2>
        <StateBadge of={shown} />
      </div>
      <p class="soft place" title={tile.locations.join(", ")}>{tile.locations.join(", ") || " "}</p>
      <div class="tile-wind">
        <WindNow wind={tile.wind} agent={tile.agent} />
        <SparkLine tile={tile} top={top} />
      </div>
      <p class="tile-words">{wordsOf(tile)}</p>
      <p class="soft tile-foot">
        <span>seen <Ago ms={lastSeen(tile)} /></span>
        {tile.waiting > 0 && <span title="Messages on the turbine's disk that are not stored here yet">{count(tile.waiting)} waiting</span>}
      </p>
    </li>
  );
}

function WindNow({ wind, agent }: { wind: Wind | null; agent: string }) {
  if (!wind) return <p class="wind-now soft">no wind</p>;
  const { unit } = prefs.value;
  return (
    <p class="wind-now">
      <b>{digits(wind.value * factor(wind.unit, unit), unit)}</b> {unit}
      <StaleMark wind={wind} agent={agent} />
    </p>
  );
}

function StaleMark({ wind, agent }: { wind: Wind; agent: string }) {
  const isOld = isStale(wind.time_ms, slow.value, intervalOf(agent, wind.device));
  return isOld ? <span class="stale-mark" title={`Read ${exact(wind.time_ms, prefs.value.zone)}`}> stale</span> : null;
}

function SparkLine({ tile, top }: { tile: Tile; top: number }) {
  if (!tile.spark) return null;
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} preserveAspectRatio="none" aria-hidden="true">
      <path d={path(tile.spark.mean, top)} fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke" />
    </svg>
  );
}

/** What troubles a turbine, in one line. */
function wordsOf(tile: Tile): string {
  const [first] = tile.open;
  const more = tile.open_count > 1 ? ` (and ${count(tile.open_count - 1)} more)` : "";
  if (first) return `${kindWords(first.kind)}${more}: ${first.evidence}`;
  if (tile.spool_error) return `Disk: ${tile.spool_error}`;
  const [failing] = tile.failing;
  if (failing) return `${failing.device}: ${failing.reason}`;
  if (tile.state === "silent") return "Nothing is heard from it";
  return tile.open_count ? many(tile.open_count, "open alert") : "";
}

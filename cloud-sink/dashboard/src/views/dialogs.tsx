// What opens over the view: the keys, and the search that jumps.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { kindWords } from "../alerts.ts";
import { dialog, HELP } from "../keys.ts";
import { go } from "../router.ts";
import { alertHref, turbineHref } from "../routes.ts";
import { openAlerts, ranked } from "../state.ts";
import { STATE_WORDS } from "../trouble.ts";

export function Dialogs() {
  if (dialog.value === "help") return <Help />;
  if (dialog.value === "search") return <Search />;
  return null;
}

function Modal({ name, label, children }: { name: typeof dialog.value; label: string; children: ComponentChildren }) {
  const place = useRef<HTMLDialogElement>(null);
  // Before the next key is pressed, so that none is lost.
  useLayoutEffect(() => place.current?.showModal(), []);
  // A key may have opened another before this one is told that it is closed.
  const closed = () => {
    if (dialog.value === name) dialog.value = "";
  };
  return (
    <dialog ref={place} aria-label={label} class="card" onClose={closed} onClick={(event) => event.target === place.current && place.current?.close()}>
      {children}
    </dialog>
  );
}

function Help() {
  return (
    <Modal name="help" label="Keys">
      <div class="head"><h2>Keys</h2><button type="button" onClick={() => (dialog.value = "")}>Close</button></div>
      <dl class="keys">
        {HELP.map(([keys, words]) => <div key={keys}><dt>{keys.split(" ").filter(Boolean).map((key) => <kbd key={key}>{key}</kbd>)}</dt><dd>{words}</dd></div>)}
      </dl>
    </Modal>
  );
}

interface Hit {
  href: string;
  words: string;
  beside: string;
}

const VIEWS: Hit[] = [
  { href: "#/", words: "Overview", beside: "view" }, { href: "#/alerts", words: "Alerts", beside: "view" },
  { href: "#/delivery", words: "Delivery", beside: "view" }, { href: "#/statistics", words: "Statistics", beside: "view" },
];
const MOST = 12;

function Search() {
  const text = useSignal("");
  const at = useSignal(0);
  const all = useMemo<Hit[]>(() => [
    ...ranked.peek().map(({ tile, shown }) => ({ href: turbineHref(tile.agent), words: tile.agent, beside: `${STATE_WORDS[shown]} · ${tile.locations.join(", ")}` })),
    ...VIEWS,
    ...openAlerts.peek().map((alert) => ({ href: alertHref(alert), words: `${kindWords(alert.kind)} at ${alert.agent}`, beside: alert.evidence })),
  ], []);
  const wanted = text.value.trim().toLowerCase();
  const hits = all.filter((hit) => `${hit.words} ${hit.beside}`.toLowerCase().includes(wanted)).slice(0, MOST);
  const chosen = Math.min(at.value, hits.length - 1);
  const open = (hit: Hit | undefined) => {
    if (!hit) return;
    dialog.value = "";
    go(hit.href);
  };
  const press = (event: KeyboardEvent) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) at.value = Math.max(0, Math.min(hits.length - 1, chosen + move));
    if (event.key === "Enter") open(hits[chosen]);
    if (move || event.key === "Enter") event.preventDefault();
  };
  return (
    <Modal name="search" label="Search">
      <input type="search" class="search" role="combobox" list={undefined} aria-label="Turbine, alert or view" aria-expanded="true" aria-controls="hits" aria-autocomplete="list"
        {...(hits.length ? { "aria-activedescendant": `hit-${chosen}` } : {})} placeholder="Turbine, alert or view" value={text.value}
        onInput={(event) => { text.value = event.currentTarget.value; at.value = 0; }} onKeyDown={press} />
      <ul id="hits" role="listbox" aria-label="Found" class="hits">
        {hits.map((hit, index) => (
          <li key={hit.href} id={`hit-${index}`} role="option" aria-selected={index === chosen} onClick={() => open(hit)}>
            {hit.words} <span class="soft">{hit.beside}</span>
          </li>
        ))}
      </ul>
      {!hits.length && <p class="empty">Nothing is called so.</p>}
    </Modal>
  );
}

// The head of every view: which farm, how it is, how fresh what is shown.
import { useComputed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { second } from "../clock.ts";
import { dialog } from "../keys.ts";
import { connection } from "../live.ts";
import { beep, mayNotify } from "../notice.ts";
import { choose, prefs, type Theme } from "../prefs.ts";
import { route } from "../router.ts";
import { counts, leave, me, openAlerts, tiles, trouble } from "../state.ts";
import { clock, duration, exact } from "../time.ts";
import { many, WIND_UNITS } from "../units.ts";
import { Switch } from "./parts.tsx";

const VIEWS = [["overview", "#/", "Overview"], ["alerts", "#/alerts", "Alerts"], ["delivery", "#/delivery", "Delivery"], ["statistics", "#/statistics", "Statistics"]] as const;

export function Header() {
  return (
    <header>
      <div class="header-row">
        <a class="brand" href="#/"><Mark /><b>Windward</b><span class="farm" title={me.value?.farm}>{me.value?.farm}</span></a>
        <ConnectionState />
        <Clock />
        <button type="button" class="plain with-sign find" aria-keyshortcuts="/" title="Search ( / )" onClick={() => (dialog.value = "search")}><Sign d={FIND} /><span>Search</span></button>
        <Settings />
        <button type="button" class="plain keys-button" aria-label="Keyboard help" title="Keys ( ? )" onClick={() => (dialog.value = "help")}>?</button>
      </div>
      <div class="header-row">
        <Navigation />
        <Counts />
      </div>
      {trouble.value && <p class="problem" role="alert">{trouble.value}. What stands here may be old.</p>}
    </header>
  );
}

function Mark() {
  return <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><path d="M16 14v13M16 14V4M16 14l8.6 5M16 14l-8.6 5" class="mark" /></svg>;
}

const FIND = "M11.5 11.5 15 15M7 2a5 5 0 1 0 0 10A5 5 0 1 0 7 2";
const SLIDERS = "M1 4h8M13 4h2M1 8h2M7 8h8M1 12h7M12 12h3M11 2.5v3M5 6.5v3M10 10.5v3";

/** On a phone the sign stands for the word. */
function Sign({ d }: { d: string }) {
  return <svg class="sign" viewBox="0 0 16 16" width="18" height="18" aria-hidden="true"><path d={d} /></svg>;
}

function Navigation() {
  const { view } = route.value;
  const at = view === "alert" ? "alerts" : view === "turbine" ? "overview" : view;
  return (
    <nav aria-label="Views">
      {VIEWS.map(([name, href, words]) => (
        <a key={name} href={href} aria-current={at === name ? "page" : undefined}>
          {words}{name === "alerts" && openAlerts.value.length > 0 && <span class="count" aria-label={`${openAlerts.value.length} open`}>{openAlerts.value.length}</span>}
        </a>
      ))}
    </nav>
  );
}

function ConnectionState() {
  const told = connection.value;
  const { zone } = prefs.value;
  const words = {
    connecting: "connecting…", live: "live", reconnecting: "reconnecting…",
    silent: told.state === "silent" ? `no answer since ${clock(told.since, zone)} (${duration(second.value - told.since)})` : "",
  }[told.state];
  return <p class={`connection ${told.state}`} title={told.state === "silent" ? exact(told.since, zone) : undefined}><i aria-hidden="true" /><span role="status">{words}</span></p>;
}

function Clock() {
  const text = useComputed(() => `${clock(second.value, prefs.value.zone)}${prefs.value.zone === "utc" ? " UTC" : ""}`);
  const other = prefs.value.zone === "utc" ? "local" : "utc";
  return (
    <button type="button" class="plain clock" title={`The sink's clock. Click for ${other === "utc" ? "UTC" : "local time"}.`} onClick={() => choose({ zone: other })}>
      <time>{text}</time>
    </button>
  );
}

function Counts() {
  if (tiles.value === null) return <p class="soft counts"> </p>;
  const silent = counts.value.get("silent") ?? 0;
  const said = [many(tiles.value.size, "turbine"), silent ? `${silent} silent` : "", many(openAlerts.value.length, "open alert")];
  return <p class="soft counts">{said.filter(Boolean).join(" · ")}</p>;
}

const THEMES = [["auto", "auto"], ["light", "light"], ["dark", "dark"]] as const;

function Settings() {
  const place = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const isOutside = event instanceof KeyboardEvent ? event.key === "Escape" : !place.current?.contains(event.target as Node);
      if (isOutside && place.current) place.current.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  const { unit, zone, theme, sound, notify } = prefs.value;
  const allow = async (wanted: boolean) => choose({ notify: wanted && (await mayNotify()) });
  return (
    <details class="settings" ref={place}>
      <summary class="with-sign"><Sign d={SLIDERS} /><span>Settings</span></summary>
      <div class="card menu">
        <div class="setting"><span>Wind speed</span><Switch label="Unit of wind speed" value={unit} options={WIND_UNITS.map((one) => [one, one] as const)} onChange={(value) => choose({ unit: value })} /></div>
        <div class="setting"><span>Times</span><Switch label="Times" value={zone} options={[["local", "local"], ["utc", "UTC"]]} onChange={(value) => choose({ zone: value })} /></div>
        <div class="setting"><span>Theme</span><Switch<Theme> label="Theme" value={theme} options={THEMES} onChange={(value) => choose({ theme: value })} /></div>
        <label class="tick"><input type="checkbox" checked={sound} onChange={(event) => { choose({ sound: event.currentTarget.checked }); if (event.currentTarget.checked) beep(1); }} /> Sound at a new alert</label>
        <label class="tick"><input type="checkbox" checked={notify} onChange={(event) => void allow(event.currentTarget.checked)} /> Notification at a new alert</label>
        {me.value?.auth && <p class="soft">{me.value.name}, {me.value.role} <button type="button" onClick={() => void leave().catch((error: Error) => { trouble.value = error.message; })}>Sign out</button></p>}
        <p class="soft">Version {me.value?.version} · <a href="/api/docs">API</a>{me.value?.role === "admin" && <> · <a href="#/audit">Who did what</a></>}</p>
      </div>
    </details>
  );
}

// What the reader has chosen, kept in this browser.
import { effect, signal } from "@preact/signals";
import type { Zone } from "./time.ts";
import { WIND_UNITS, type WindUnit } from "./units.ts";

export type Theme = "auto" | "light" | "dark";

export interface Prefs {
  unit: WindUnit;
  zone: Zone;
  theme: Theme;
  sound: boolean;
  notify: boolean;
  /** The name under which this person acknowledges where nobody signs in. */
  name: string;
}

const KEY = "windward";
const DEFAULTS: Prefs = { unit: "m/s", zone: "local", theme: "auto", sound: false, notify: false, name: "" };

function read(): Prefs {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Prefs>;
    const unit = WIND_UNITS.includes(kept.unit as WindUnit) ? (kept.unit as WindUnit) : DEFAULTS.unit;
    return { ...DEFAULTS, ...kept, unit };
  } catch {
    // Storage is forbidden, or somebody else's; the page works without.
    return DEFAULTS;
  }
}

export const prefs = signal<Prefs>(read());

export function choose(change: Partial<Prefs>): void {
  prefs.value = { ...prefs.value, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs.value));
  } catch {
    // See above: the choice lasts as long as the page.
  }
}

effect(() => {
  document.documentElement.dataset["theme"] = prefs.value.theme;
});

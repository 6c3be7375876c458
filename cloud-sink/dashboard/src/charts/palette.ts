// Colours of the charts, from the style sheet, for a canvas knows no CSS.
import { computed, signal } from "@preact/signals";
import { prefs } from "../prefs.ts";

const media = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(media.matches);
media.addEventListener("change", () => {
  systemDark.value = media.matches;
});

export const dark = computed(() => (prefs.value.theme === "auto" ? systemDark.value : prefs.value.theme === "dark"));

export const LINES = 8;

export interface Palette {
  ink: string;
  soft: string;
  grid: string;
  lines: string[];
  severity: Record<string, string>;
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"),
    soft: of("--soft"),
    grid: of("--grid"),
    lines: Array.from({ length: LINES }, (_, index) => of(`--line-${index + 1}`)),
    severity: { critical: of("--critical"), warning: of("--warning"), info: of("--info") },
  };
}

/** A colour of the style sheet, made translucent: they are all written as #rrggbb. */
export const faint = (colour: string, share: number): string =>
  colour + Math.round(share * 255).toString(16).padStart(2, "0");

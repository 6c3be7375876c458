// Small parts that several views use.
import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { second, slow } from "../clock.ts";
import { prefs } from "../prefs.ts";
import { unknown } from "../state.ts";
import { ago, duration, exact } from "../time.ts";
import { STATE_MEANS, STATE_WORDS, type Shown } from "../trouble.ts";
import type { Alert, Severity } from "../types.ts";

/** Each state has a shape of its own, so that colour is never all there is. 16 by 16. */
const SHAPES: Record<Shown | Severity, string> = {
  critical: "M5 1h6l4 4v6l-4 4H5l-4-4V5zM7.2 4v5h1.6V4zm0 6.4V12h1.6v-1.6z",
  silent: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM4.2 3.1 12.9 11.8 11.8 12.9 3.1 4.2z",
  warning: "M8 1l7.5 14H.5zM7.2 6v4.5h1.6V6zm0 5.7v1.5h1.6v-1.5z",
  failing: "M8 .6 15.4 8 8 15.4.6 8zM5.9 4.8 4.8 5.9 6.9 8l-2.1 2.1 1.1 1.1L8 9.1l2.1 2.1 1.1-1.1L9.1 8l2.1-2.1-1.1-1.1L8 6.9z",
  stale: "M2.5 1h11v2.2L9.6 8l3.9 4.8V15h-11v-2.2L6.4 8 2.5 3.2zM8 9.3l-3 3.9h6z",
  new: "M1.5 1.5h13v13h-13zM3.1 3.1v9.8h9.8V3.1zM7.2 5v2.2H5v1.6h2.2V11h1.6V8.8H11V7.2H8.8V5z",
  well: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM4.6 7.2 3.4 8.3 7 11.8 12.6 5.6 11.4 4.5 6.9 9.5z",
  info: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM7.2 7v5h1.6V7zm0-3v1.7h1.6V4z",
};

export function Icon({ of }: { of: Shown | Severity }) {
  return (
    <svg class={`icon ${of}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path fill-rule="evenodd" fill="currentColor" d={SHAPES[of]} />
    </svg>
  );
}

export function StateBadge({ of }: { of: Shown }) {
  return <span class={`badge ${of}`} title={STATE_MEANS[of]}><Icon of={of} />{STATE_WORDS[of]}</span>;
}

export const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

export function SeverityBadge({ of }: { of: Severity }) {
  return <span class={`badge ${of}`}><Icon of={of} />{capital(of)}</span>;
}

/** "20 s ago", with the exact time behind it. The text is a signal: it changes without anything being drawn anew. */
export function Ago({ ms, fine = false }: { ms: number | null; fine?: boolean }) {
  const when = useSignal(ms);
  if (when.peek() !== ms) when.value = ms;
  const text = useComputed(() => ago(when.value, (fine ? second : slow).value));
  if (ms === null) return <>never</>;
  return <time dateTime={new Date(ms).toISOString()} title={exact(ms, prefs.value.zone)}>{text}</time>;
}

/** How long something has lasted or did last. */
export function Lasting({ from, to }: { from: number; to: number | null }) {
  return <>{duration((to ?? slow.value) - from)}</>;
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Problem({ text }: { text: string }) {
  return text ? <p class="problem" role="alert">{text}</p> : null;
}

export interface Asked<T> {
  data: T | null;
  error: string;
  busy: boolean;
  again: () => void;
}

/** Asks whenever `about` changes, and every so often while the page is looked at. Old data stay until new ones come. */
export function useAsked<T>(about: string, ask: (signal: AbortSignal) => Promise<T>, every_ms = 0): Asked<T> {
  const [state, setState] = useState<{ data: T | null; error: string; busy: boolean }>({ data: null, error: "", busy: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    const run = async () => {
      try {
        const data = await ask(stop.signal);
        if (!stop.signal.aborted) setState({ data, error: "", busy: false });
      } catch (error) {
        if (stop.signal.aborted || unknown(error)) return;
        setState((before) => ({ data: before.data, error: (error as Error).message, busy: false }));
      }
    };
    setState((before) => ({ ...before, busy: true }));
    void run();
    const timer = every_ms ? setInterval(() => void (document.hidden || run()), every_ms) : undefined;
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [about, turn]);
  return { ...state, again: () => setTurn((before) => before + 1) };
}

interface Choice<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

export function Select<T extends string>({ label, value, options, onChange }: Choice<T>) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {options.map(([key, words]) => <option key={key} value={key}>{words}</option>)}
      </select>
    </label>
  );
}

/** A few choices side by side. */
export function Switch<T extends string>({ label, value, options, onChange }: Choice<T>) {
  return (
    <fieldset class="switch">
      <legend class="unseen">{label}</legend>
      {options.map(([key, words]) => (
        <button type="button" key={key} aria-pressed={key === value} onClick={() => onChange(key)}>{words}</button>
      ))}
    </fieldset>
  );
}

export interface Pages {
  alerts: Alert[];
  next: string | null;
  busy: boolean;
  error: string;
}

/** An answer, or in words why not; nothing where nobody waits for it any more or somebody has to sign in. */
export async function unlessGone<T>(asked: Promise<T>, signal?: AbortSignal): Promise<{ value: T; error?: undefined } | { error: string } | null> {
  try {
    const value = await asked;
    return signal?.aborted ? null : { value };
  } catch (error) {
    return signal?.aborted || unknown(error) ? null : { error: (error as Error).message };
  }
}

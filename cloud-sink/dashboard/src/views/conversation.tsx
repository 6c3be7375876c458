// What people say of an alert: that somebody has it in hand, and notes for those who come after.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import * as api from "../api.ts";
import { acknowledging } from "../keys.ts";
import { choose, prefs } from "../prefs.ts";
import { mayAct, me } from "../state.ts";
import type { Alert } from "../types.ts";
import { Ago, Problem, unlessGone } from "./parts.tsx";

interface Props {
  alert: Alert;
  onChange: (alert: Alert) => void;
}

export function Conversation({ alert, onChange }: Props) {
  return (
    <div class="conversation">
      <h3>People</h3>
      {alert.acknowledged_by && (
        <p class="said"><b>{alert.acknowledged_by}</b> acknowledged it <Ago ms={alert.acknowledged_ms} />{alert.note ? <>: {alert.note}</> : "."}</p>
      )}
      <ul class="comments">
        {(alert.comments ?? []).map((comment) => (
          <li key={`${comment.at_ms} ${comment.by}`} class="said"><b>{comment.by}</b> <span class="soft"><Ago ms={comment.at_ms} /></span><p>{comment.text}</p></li>
        ))}
      </ul>
      {mayAct.value ? <Forms alert={alert} onChange={onChange} /> : <p class="soft">You may look. To acknowledge or comment, sign in as an operator.</p>}
    </div>
  );
}

function Forms({ alert, onChange }: Props) {
  const text = useSignal("");
  const error = useSignal("");
  const busy = useSignal(false);
  // Who signed in acts under that name; else each says who it is, once.
  const isNamed = me.value?.auth ?? false;
  const by = isNamed ? undefined : prefs.value.name.trim();
  const isReady = !busy.value && (isNamed || by !== "");
  const send = async (what: Promise<Alert>) => {
    busy.value = true;
    const answer = await unlessGone(what);
    busy.value = false;
    if (!answer) return;
    error.value = answer.error ?? "";
    if (answer.error !== undefined) return;
    text.value = "";
    onChange(answer.value);
  };
  const acknowledge = () => send(api.acknowledge(alert, text.value.trim(), by));
  const comment = () => send(api.comment(alert, text.value.trim(), by));
  const isOpen = !alert.acknowledged_by;
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (acknowledging.peek()) form.current?.querySelector<HTMLElement>("[data-acknowledge]")?.focus();
    acknowledging.value = false;
  }, []);
  return (
    <form class="talk" ref={form} onSubmit={(event) => { event.preventDefault(); if (isReady) void (isOpen ? acknowledge() : text.value.trim() && comment()); }}>
      {!isNamed && (
        <label class="field">
          <span>Your name</span>
          <input required autocomplete="name" maxLength={60} value={prefs.value.name} onInput={(event) => choose({ name: event.currentTarget.value })}
            {...(isOpen && !by ? { "data-acknowledge": true } : {})} />
        </label>
      )}
      <label class="field">
        <span>{isOpen ? "Note or comment" : "Comment"}</span>
        <textarea rows={2} maxLength={1000} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)}
          {...(!isOpen || isNamed || by ? { "data-acknowledge": true } : {})} />
      </label>
      <Problem text={error.value} />
      <div class="buttons">
        {isOpen && <button type="submit" class="primary" disabled={!isReady}>Acknowledge</button>}
        <button type={isOpen ? "button" : "submit"} disabled={!isReady || !text.value.trim()} onClick={isOpen ? comment : undefined}>Comment</button>
      </div>
    </form>
  );
}

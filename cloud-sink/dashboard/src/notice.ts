// Tells of a new alert: to a screen reader always, by sound and notification where somebody has asked for it.
import { signal } from "@preact/signals";
import { byWeight, keyOf, kindWords } from "./alerts.ts";
import { prefs } from "./prefs.ts";
import { alertHref } from "./routes.ts";
import type { Alert } from "./types.ts";

/** Read aloud, politely. */
export const said = signal("");

export const sentence = (alert: Alert): string => `${kindWords(alert.kind)} at ${alert.agent}, ${alert.severity}. ${alert.evidence}`;

/** Tells of alerts that are new; of many at once, as after a while without a stream, in one word and by the worst of them. */
export function announce(news: Alert[]): void {
  const [worst] = [...news].sort(byWeight);
  if (!worst) return;
  const many = news.length > 1;
  said.value = many ? `${news.length} new alerts. ${sentence(worst)}` : `New alert: ${sentence(worst)}`;
  if (prefs.value.sound) beep(worst.severity === "critical" ? 3 : 1);
  if (prefs.value.notify && "Notification" in window && Notification.permission === "granted") {
    const title = `${kindWords(worst.kind)} at ${worst.agent}${many ? `, and ${news.length - 1} more` : ""}`;
    const notice = new Notification(title, { body: worst.evidence, tag: keyOf(worst) });
    notice.onclick = () => {
      window.focus();
      location.hash = many ? "#/alerts" : alertHref(worst);
    };
  }
}

let audio: AudioContext | undefined;

/** Short tones, made here: a file of sound would be one more thing to load. */
export function beep(times: number): void {
  audio ??= new AudioContext();
  for (let i = 0; i < times; i += 1) {
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    const at = audio.currentTime + i * 0.25;
    tone.frequency.value = 880;
    volume.gain.setValueAtTime(0.15, at);
    volume.gain.exponentialRampToValueAtTime(0.001, at + 0.2);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.2);
  }
}

/** Asks for the right to notify; false when it is not given. */
export async function mayNotify(): Promise<boolean> {
  if (!("Notification" in window)) return false;
  return (await Notification.requestPermission()) === "granted";
}

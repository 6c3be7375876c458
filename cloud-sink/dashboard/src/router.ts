// Which view is shown, by the address behind the #.
import { signal } from "@preact/signals";
import { parse, type Route } from "./routes.ts";

export const route = signal<Route>(parse(location.hash));

addEventListener("hashchange", () => {
  const before = route.value.view;
  route.value = parse(location.hash);
  // Within the alerts the list stays where it is.
  const inAlerts = before.startsWith("alert") && route.value.view.startsWith("alert");
  if (!inAlerts) scrollTo(0, 0);
});

export const go = (hash: string): void => {
  location.hash = hash;
};

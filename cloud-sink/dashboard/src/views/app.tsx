// The page.
import { effect } from "@preact/signals";
import { route } from "../router.ts";
import { said } from "../notice.ts";
import { fresh, me, openAlerts, signedOut, trouble } from "../state.ts";
import { Alerts } from "./alerts.tsx";
import { Audit } from "./audit.tsx";
import { Delivery } from "./delivery.tsx";
import { Dialogs } from "./dialogs.tsx";
import { Header } from "./header.tsx";
import { Overview } from "./overview.tsx";
import { SignIn } from "./signin.tsx";
import { Statistics } from "./statistics.tsx";
import { Turbine } from "./turbine.tsx";

export function App() {
  if (signedOut.value) return <SignIn />;
  // Whoever has to sign in sees nothing of the farm before; all others wait for one answer.
  if (!me.value && !trouble.value) return <main key="waiting"><p class="empty">Asking the sink…</p></main>;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <Header />
      <main key="view" id="main" tabIndex={-1}><View /></main>
      <p class="unseen" aria-live="polite">{said.value}</p>
      <Dialogs />
    </>
  );
}

function View() {
  const to = route.value;
  switch (to.view) {
    case "overview": return <Overview />;
    case "turbine": return <Turbine key={to.agent} agent={to.agent} />;
    case "alerts": return <Alerts open={null} />;
    case "alert": return <Alerts open={to} />;
    case "delivery": return <Delivery />;
    case "statistics": return <Statistics />;
    case "audit": return <Audit />;
  }
}

effect(() => {
  const n = openAlerts.value.length;
  const farm = me.value?.farm;
  document.title = `${n ? `(${n}${fresh.value.size ? ", new" : ""}) ` : ""}Windward${farm ? ` · ${farm}` : ""}`;
});

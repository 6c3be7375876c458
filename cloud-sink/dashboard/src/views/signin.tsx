// For who is not known: a token, or the company's login.
import { useSignal } from "@preact/signals";
import * as api from "../api.ts";
import { begin, signedOut } from "../state.ts";

export function SignIn() {
  const token = useSignal("");
  const error = useSignal("");
  const busy = useSignal(false);
  const oidc = signedOut.value?.oidc;
  const enter = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = "";
    try {
      await api.signIn(token.value.trim());
      token.value = "";
      await begin();
    } catch (refused) {
      const known = refused instanceof api.Refused && refused.status === 401;
      error.value = known ? "The sink does not know this token. It may have been withdrawn, or a letter is missing." : (refused as Error).message;
    }
    busy.value = false;
  };
  return (
    <main key="signin" class="signin card">
      <h1>Windward</h1>
      <p>Sign in to see this farm.</p>
      {oidc && <p><a class="button primary" href={oidc.href}>{oidc.name}</a></p>}
      {oidc && <p class="soft">or</p>}
      <form onSubmit={enter}>
        <label class="field">
          <span>Token</span>
          <input type="password" required autocomplete="current-password" spellcheck={false} value={token.value} onInput={(event) => (token.value = event.currentTarget.value)} />
        </label>
        <p class="soft">This browser keeps the token as a cookie that no script can read.</p>
        {error.value && <p class="problem" role="alert">{error.value}</p>}
        <button type="submit" class={oidc ? "" : "primary"} disabled={busy.value || !token.value.trim()}>Sign in</button>
      </form>
    </main>
  );
}

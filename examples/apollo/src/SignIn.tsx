import { useState, type FormEvent } from "react";

import { signIn } from "./auth";
import { words } from "./words";

/** The sign-in form, with the reason for which the last session ended. */
export function SignIn({ reason }: { reason: string }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  // The last error.
  const told = failure ?? reason;

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(username, password);
    } catch (error) {
      setFailure(words(error));
      setBusy(false);
    }
  }

  return (
    <main className="narrow">
      <form onSubmit={submit}>
        <h1>Sign in</h1>
        {told && <p role="alert">{told}</p>}
        <label htmlFor="username">Username</label>
        <input
          id="username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          autoFocus
          value={username}
          onChange={(event) => setUsername(event.target.value)}
        />
        <label htmlFor="password">Password</label>
        <input
          id="password"
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <button disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
      </form>
    </main>
  );
}

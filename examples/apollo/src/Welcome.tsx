import { useState } from "react";

import { Form } from "./Form";
import { messageOf } from "./messages";
import { session } from "./session";

const PASSWORD = { name: "password", label: "Password", type: "password" };

/** Signs in on this device, with a session of its own. */
const signIn = (username: string, password: string) =>
  session.signIn({ username, password, device: `Browser on ${navigator.platform}`.slice(0, 64) });

/** The forms for users who are not signed in. `notice` says why a session has ended. */
export function Welcome({ notice, username }: { notice: string; username: string }) {
  const [isNew, setNew] = useState(false);
  // A user who is registered, and whose sign-in failed.
  const [registered, setRegistered] = useState({ username, notice: "" });
  const other = (
    <button type="button" className="link" onClick={() => setNew(!isNew)}>
      {isNew ? "I have an account" : "Create an account"}
    </button>
  );
  const name = {
    name: "username",
    label: "Username",
    autoComplete: "username",
    autoCapitalize: "none",
    spellCheck: false,
    defaultValue: registered.username,
  };

  return (
    <main className="narrow">
      {isNew ? (
        <Form
          key="register"
          title="Create an account"
          fields={[
            name,
            { name: "email", label: "E-mail (optional)", type: "email", autoComplete: "email", required: false },
            { ...PASSWORD, autoComplete: "new-password" },
          ]}
          button="Create account"
          onSubmit={async ({ username = "", email, password = "" }) => {
            const { userErrors } = await session.register({ username, email, password });
            if (userErrors.length) return userErrors;
            await signIn(username, password).catch((error: unknown) => {
              setRegistered({ username, notice: `You are registered, but not signed in. ${messageOf(error)}` });
              setNew(false);
            });
            return [];
          }}
        >
          {other}
        </Form>
      ) : (
        <Form
          key="sign-in"
          title="Sign in"
          notice={registered.notice || notice}
          fields={[name, { ...PASSWORD, autoComplete: "current-password" }]}
          button="Sign in"
          onSubmit={async ({ username = "", password = "" }) => {
            await signIn(username, password);
            return [];
          }}
        >
          {other}
        </Form>
      )}
    </main>
  );
}

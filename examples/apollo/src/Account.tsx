import type { User } from "@symbolon/client";

import { messageOf } from "./messages";
import { client, session } from "./session";

/** The current user, who comes with the session. */
export function Account({ user, onNotice }: { user: User; onNotice: (notice: string) => void }) {
  function refresh() {
    // Each component shows its own error.
    client.refetchQueries({ include: "active" }).catch(() => {});
  }

  function signOut() {
    session.signOut().catch((error: unknown) => {
      onNotice(`You are signed out here, but the server did not revoke the token. ${messageOf(error)}`);
    });
  }

  return (
    <header>
      <h1>Hello, {user.username}</h1>
      <div className="actions">
        <button className="quiet" onClick={refresh}>
          Refresh
        </button>
        <button className="quiet" onClick={signOut}>
          Sign out
        </button>
      </div>
    </header>
  );
}

import { useQuery } from "@apollo/client/react";

import { client, signOut } from "./auth";
import { graphql } from "./generated";
import { words } from "./words";

const ME = graphql(`
  query Me {
    me {
      id
      username
      email
      role
    }
  }
`);

export function Account() {
  const { data, error } = useQuery(ME);

  function refresh() {
    // Each part of the page shows its own error.
    client.refetchQueries({ include: "active" }).catch(() => {});
  }

  return (
    <header>
      <div>
        <h1>{data ? `Hello, ${data.me.username}` : "Hello"}</h1>
        {data && <p>{[data.me.email, data.me.role?.toLowerCase()].filter(Boolean).join(" · ")}</p>}
        {error && <p role="alert">{words(error)}</p>}
      </div>
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

import { gql, type TypedDocumentNode } from "@apollo/client";
import { useMutation, useQuery } from "@apollo/client/react";
import { useRef, useState } from "react";

import { messageOf } from "./messages";
import { session } from "./session";

interface Session {
  id: string;
  device: string | null;
  current: boolean;
  lastUsedAt: string | null;
  address: string | null;
}

const SESSIONS: TypedDocumentNode<{ me: { sessions: { nodes: Session[] } } }> = gql`
  query Sessions {
    me {
      id
      sessions {
        nodes {
          id
          device
          current
          lastUsedAt
          address
        }
      }
    }
  }
`;

const REVOKE_SESSION: TypedDocumentNode<{ revokeSession: boolean }, { id: string }> = gql`
  mutation RevokeSession($id: ID!) {
    revokeSession(id: $id)
  }
`;

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The sessions of the user. The user can end all sessions except the current one. */
export function Devices() {
  const { data, error, refetch } = useQuery(SESSIONS);
  const [revokeSession] = useMutation(REVOKE_SESSION);
  const [failed, setFailed] = useState<unknown>();
  const failure = error ?? failed;
  const heading = useRef<HTMLHeadingElement>(null);
  const sessions = data?.me.sessions.nodes ?? [];

  async function signOut(end: () => Promise<unknown>) {
    setFailed(undefined);
    try {
      await end();
      await refetch();
      // The button is gone.
      heading.current?.focus();
    } catch (error) {
      setFailed(error);
    }
  }

  return (
    <section aria-labelledby="devices">
      <h2 id="devices" ref={heading} tabIndex={-1}>
        Devices
      </h2>
      <ul>
        {sessions.map(({ id, device, current, lastUsedAt, address }) => {
          const name = device ?? "Shared session";
          const use = lastUsedAt ? `last used ${TIME.format(new Date(lastUsedAt))}` : "not used yet";
          return (
            <li key={id}>
              <div>
                <span>{name}</span>
                <p>{[current ? "this device" : use, address].filter(Boolean).join(" · ")}</p>
              </div>
              {!current && (
                <button
                  className="quiet"
                  aria-label={`Sign out ${name}`}
                  onClick={() => signOut(() => revokeSession({ variables: { id } }))}
                >
                  Sign out
                </button>
              )}
            </li>
          );
        })}
      </ul>
      {sessions.length > 1 && (
        <button className="quiet" onClick={() => signOut(session.signOutOthers)}>
          Sign out all other devices
        </button>
      )}
      {failure !== undefined && <p role="alert">{messageOf(failure)}</p>}
    </section>
  );
}

import { gql, NetworkStatus, type TypedDocumentNode } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import { useState } from "react";

import { isForbidden, messageOf } from "./messages";

interface Page {
  edges: { node: { id: string; username: string } }[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
  totalCount: number;
}

const USERS: TypedDocumentNode<{ users: Page }, { after?: string | null }> = gql`
  query Users($after: String) {
    users(first: 20, after: $after) {
      edges {
        cursor
        node {
          id
          username
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
      totalCount
    }
  }
`;

/** All users, page by page, if the server shows them to the user. The cache joins the pages. */
export function Users() {
  const { data, error, networkStatus, fetchMore } = useQuery(USERS);
  const [moreFailed, setMoreFailed] = useState<unknown>();
  const failure = error ?? moreFailed;

  async function more(after: string | null) {
    setMoreFailed(undefined);
    await fetchMore({ variables: { after } }).catch(setMoreFailed);
  }

  // By default, only administrators see the list.
  if ((!data && !failure) || isForbidden(failure)) return null;
  return (
    <section aria-labelledby="users">
      <h2 id="users">Users</h2>
      {data && (
        <>
          <ol>
            {data.users.edges.map(({ node }) => (
              <li key={node.id}>
                <span>{node.username}</span>
              </li>
            ))}
          </ol>
          <p role="status">
            {data.users.edges.length} of {data.users.totalCount}
          </p>
          {data.users.pageInfo.hasNextPage && (
            <button
              className="quiet"
              disabled={networkStatus === NetworkStatus.fetchMore}
              onClick={() => more(data.users.pageInfo.endCursor)}
            >
              Show more
            </button>
          )}
        </>
      )}
      {failure !== undefined && <p role="alert">{messageOf(failure)}</p>}
    </section>
  );
}

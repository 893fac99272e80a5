import { ApolloClient, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { createSession } from "@symbolon/client";
import { clearCacheOnUserChange, sessionLink } from "@symbolon/client/apollo";
import { useSyncExternalStore } from "react";

export const session = createSession({
  url: import.meta.env.VITE_API || "http://127.0.0.1:8000/graphql",
  // The session survives a reload of the page. Scripts of the page can read the token, as the README explains.
  storage: "session",
});

export const client = new ApolloClient({
  link: sessionLink(session),
  cache: new InMemoryCache({
    typePolicies: { Query: { fields: { users: relayStylePagination() } } },
  }),
});

clearCacheOnUserChange(session, client);

export const useSession = () => useSyncExternalStore(session.subscribe, session.getSnapshot);

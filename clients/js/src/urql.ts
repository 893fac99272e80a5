import { createClient, type Client, type ClientOptions } from "@urql/core";

import type { Session } from "./index.js";

/**
 * Returns a function that returns the client of the current user. When the user changes, it returns a new client, whose
 * cache is empty.
 */
export function clientOfUser(
  session: Session,
  options: Omit<ClientOptions, "url" | "fetch">,
): () => Client {
  let client: Client | undefined;
  let last: string | undefined;
  return () => {
    const user = session.getSnapshot().user?.id;
    if (!client || user !== last) {
      last = user;
      client = createClient({ ...options, url: session.url, fetch: session.fetch });
    }
    return client;
  };
}

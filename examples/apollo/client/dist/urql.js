import { createClient } from "@urql/core";
/**
 * Returns a function that returns the client of the current user. When the user changes, it returns a new client, whose
 * cache is empty.
 */
export function clientOfUser(session, options) {
    let client;
    let last;
    return () => {
        const user = session.getSnapshot().user?.id;
        if (!client || user !== last) {
            last = user;
            client = createClient({ ...options, url: session.url, fetch: session.fetch });
        }
        return client;
    };
}

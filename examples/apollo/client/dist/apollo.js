import { HttpLink } from "@apollo/client";
/** Returns the terminating link of a client: it sends operations with the token of the session. */
export const sessionLink = (session, options) => new HttpLink({ uri: session.url, ...options, fetch: session.fetch });
/**
 * Clears the cache when the user changes. Active queries are sent again after a sign-in, and not after a sign-out.
 * Returns a function that stops this.
 */
export function clearCacheOnUserChange(session, client) {
    let last = session.getSnapshot().user?.id;
    return session.subscribe(() => {
        const user = session.getSnapshot().user?.id;
        if (user === last)
            return;
        last = user;
        // Each query reports its own error.
        (user ? client.resetStore() : client.clearStore()).catch(() => { });
    });
}

import { HttpLink, type ApolloClient } from "@apollo/client";
import type { Session } from "./index.js";
/** Returns the terminating link of a client: it sends operations with the token of the session. */
export declare const sessionLink: (session: Session, options?: HttpLink.Options) => HttpLink;
/**
 * Clears the cache when the user changes. Active queries are sent again after a sign-in, and not after a sign-out.
 * Returns a function that stops this.
 */
export declare function clearCacheOnUserChange(session: Session, client: ApolloClient): () => void;

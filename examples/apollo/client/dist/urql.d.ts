import { type Client, type ClientOptions } from "@urql/core";
import type { Session } from "./index.js";
/**
 * Returns a function that returns the client of the current user. When the user changes, it returns a new client, whose
 * cache is empty.
 */
export declare function clientOfUser(session: Session, options: Omit<ClientOptions, "url" | "fetch">): () => Client;

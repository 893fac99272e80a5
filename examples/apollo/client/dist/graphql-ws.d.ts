import type { ClientOptions } from "graphql-ws";
import type { Session } from "./index.js";
type SocketOptions = Required<Pick<ClientOptions, "connectionParams" | "shouldRetry" | "retryAttempts" | "retryWait" | "on">>;
/** Returns options for one call of `createClient` of graphql-ws. */
export declare function socketOptions(session: Session): SocketOptions;
export {};

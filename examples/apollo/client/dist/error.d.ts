/** The properties with which the server describes an error. */
export interface Extensions {
    code?: string;
    reason?: string;
    retryAfter?: number;
}
/**
 * A failed request. `code` and `reason` are those of the server, or one of these codes: `NETWORK_ERROR`, if the server
 * cannot be reached; `BAD_RESPONSE`, if the answer is not that of a Symbolon server; `SESSION_ENDED`, if there is no
 * session, or if the session ended during the request. `message` can be shown to users.
 */
export declare class SymbolonError extends Error {
    readonly code: string;
    readonly reason?: string;
    /** The time after which to try again, in seconds. */
    readonly retryAfter?: number;
    constructor(message: string, { code, reason, retryAfter }: Extensions, cause?: unknown);
}

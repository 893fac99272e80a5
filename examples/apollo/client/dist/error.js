/**
 * A failed request. `code` and `reason` are those of the server, or one of these codes: `NETWORK_ERROR`, if the server
 * cannot be reached; `BAD_RESPONSE`, if the answer is not that of a Symbolon server; `SESSION_ENDED`, if there is no
 * session, or if the session ended during the request. `message` can be shown to users.
 */
export class SymbolonError extends Error {
    code;
    reason;
    /** The time after which to try again, in seconds. */
    retryAfter;
    constructor(message, { code = "", reason, retryAfter }, cause) {
        super(message, { cause });
        this.name = "SymbolonError";
        this.code = code;
        this.reason = reason;
        this.retryAfter = retryAfter;
    }
}

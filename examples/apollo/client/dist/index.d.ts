import { SymbolonError } from "./error.js";
export { SymbolonError };
/** The user who is signed in. */
export interface User {
    readonly id: string;
    readonly username: string;
    readonly role: "USER" | "ADMIN";
}
/** An error in the input of a form. `field` is the name of the input, or null. */
export interface UserError {
    code: string;
    field: string | null;
    message: string;
}
/** The result of a form. If the server refuses the input, `user` is null, and `userErrors` is not empty. */
export interface FormResult {
    user: User | null;
    userErrors: UserError[];
}
/**
 * Why a session has ended:
 *
 * - `signed-out`: `signOut` was called.
 * - `expired`: the server refused the token, and the lifetime of the token is over.
 * - `revoked`: the server refused the token within its lifetime. For example, another device has ended the session, the
 *   password was changed, or the user was disabled.
 */
export type Reason = "signed-out" | "expired" | "revoked";
/** The visible state. `reason` is null before the first session and during a session. */
export interface Snapshot {
    readonly user: User | null;
    readonly reason: Reason | null;
}
export interface SessionOptions {
    /** The address of the GraphQL endpoint. */
    url: string;
    /** Where the token is stored: in memory, or in the `sessionStorage` of the tab. The default is `memory`. */
    storage?: "memory" | "session" | undefined;
    /** Sends the requests. The default is the global `fetch`. */
    fetch?: typeof fetch | undefined;
}
/** The session of one user. All functions can be passed on without their object. */
export interface Session {
    readonly url: string;
    /** Signs in. With `device`, the server starts a session of its own. Otherwise, all clients of the user share a session. */
    signIn(credentials: {
        username: string;
        password: string;
        device?: string | undefined;
    }): Promise<User>;
    /** Starts a session with a token that a mutation of your own API returned, for example after a sign-in elsewhere. */
    adopt(token: Token): void;
    /** Creates a user, and does not sign in. */
    register(input: {
        username: string;
        password: string;
        email?: string | undefined;
    }): Promise<FormResult>;
    /**
     * Ends the session at once, and revokes the token. Fails if the server cannot be reached: the token then stays valid
     * until the next call succeeds, or until it expires.
     */
    signOut(): Promise<void>;
    /** Ends all other sessions of the user, and returns their number. */
    signOutOthers(): Promise<number>;
    /** Changes the password. All other sessions of the user end. This session continues with a new token. */
    changePassword(input: {
        currentPassword: string;
        newPassword: string;
    }): Promise<FormResult>;
    /** Sets a new password with the token of a reset link, and does not sign in. */
    resetPassword(input: {
        token: string;
        newPassword: string;
    }): Promise<FormResult>;
    /** Returns the token, renewed if half of its lifetime has passed, or undefined without a session. */
    token(): Promise<string | undefined>;
    /** `fetch` with the token, for requests to the origin of `url` that have no `Authorization` header of their own. */
    fetch: typeof fetch;
    /** Returns the state. The result is the same object until the state changes. */
    getSnapshot(): Snapshot;
    /** Calls the listener after each change of the state, until the returned function is called. */
    subscribe(listener: () => void): () => void;
    /** Calls the listener when the session ends, until the returned function is called. */
    onSignedOut(listener: (reason: Reason) => void): () => void;
    /** Calls the listener when the token is about to be replaced, or has been replaced or dropped. For sockets. */
    onTokenChange(listener: () => void): () => void;
    /** Renews the token now. Ends the session if the server refuses the token. */
    renew(): Promise<void>;
    /** Ends the session with this token, because the server has refused the token. */
    refuse(token: string): Promise<void>;
}
/** A token as the server issues it. */
export interface Token {
    token: string;
    /** The lifetime, in seconds. */
    expiresIn: number;
    user: User;
}
/** Creates a session, which is signed in if the tab stores a token. */
export declare function createSession({ url, storage, fetch: custom }: SessionOptions): Session;

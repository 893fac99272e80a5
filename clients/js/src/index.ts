import { SymbolonError, type Extensions } from "./error.js";

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
  signIn(credentials: { username: string; password: string; device?: string | undefined }): Promise<User>;
  /** Starts a session with a token that a mutation of your own API returned, for example after a sign-in elsewhere. */
  adopt(token: Token): void;
  /** Creates a user, and does not sign in. */
  register(input: { username: string; password: string; email?: string | undefined }): Promise<FormResult>;
  /**
   * Ends the session at once, and revokes the token. Fails if the server cannot be reached: the token then stays valid
   * until the next call succeeds, or until it expires.
   */
  signOut(): Promise<void>;
  /** Ends all other sessions of the user, and returns their number. */
  signOutOthers(): Promise<number>;
  /** Changes the password. All other sessions of the user end. This session continues with a new token. */
  changePassword(input: { currentPassword: string; newPassword: string }): Promise<FormResult>;
  /** Sets a new password with the token of a reset link, and does not sign in. */
  resetPassword(input: { token: string; newPassword: string }): Promise<FormResult>;
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

/** A live session. The times are in milliseconds, on the clock of this machine. */
interface Held {
  token: string;
  user: User;
  /** When the token was issued, or a renewal failed. */
  issued: number;
  /** When to renew. */
  due: number;
  expires: number;
}

/** A token as the server issues it. */
export interface Token {
  token: string;
  /** The lifetime, in seconds. */
  expiresIn: number;
  user: User;
}

const USER = "user { id username role }";
const TOKEN = `{ token expiresIn ${USER} }`;
const ERRORS = "userErrors { code field message }";
const TIMEOUT = 30_000;
const PAUSE_AFTER_FAILED_RENEWAL = 10_000;

/** Creates a session, which is signed in if the tab stores a token. */
export function createSession({ url, storage, fetch: custom }: SessionOptions): Session {
  const key = `symbolon ${url}`;
  const stateListeners = new Set<() => void>();
  const endListeners = new Set<(reason: Reason) => void>();
  const tokenListeners = new Set<() => void>();
  let held = load();
  let snapshot: Snapshot = { user: held?.user ?? null, reason: null };
  // `signOut` increments the number, so that an earlier sign-in that is still running does not start a session.
  let signOuts = 0;
  // Requests that issue or revoke a token run one after another.
  let queue: Promise<unknown> = Promise.resolve();
  let passwordChange: Promise<unknown> | undefined;
  // The tokens that must be revoked. A token stays here until the server has revoked it.
  const dropped = new Set<string>();

  const send: typeof fetch = (input, init) => (custom ?? fetch)(input, init);

  function load(): Held | undefined {
    try {
      const stored = storage === "session" && JSON.parse(sessionStorage.getItem(key)!);
      if (stored.token && stored.user.id) return stored;
    } catch {
      // There is no storage, or no session in it.
    }
    return;
  }

  function save() {
    if (storage !== "session") return;
    try {
      // If the storage is full, no outdated token must remain.
      sessionStorage.removeItem(key);
      if (held) sessionStorage.setItem(key, JSON.stringify(held));
    } catch {
      // The session is in memory only.
    }
  }

  function notify<T extends unknown[]>(listeners: Set<(...values: T) => void>, ...values: T) {
    for (const listener of [...listeners]) {
      try {
        listener(...values);
      } catch (error) {
        // The error of a listener does not stop the sign-out. Node.js has no reportError.
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }

  const listen = <T>(listeners: Set<T>, listener: T) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };

  function change(next: Held | undefined, reason: Reason | null = null) {
    const tokenChanges = held?.token !== next?.token;
    held = next;
    save();
    const user = next?.user ?? null;
    if (reason || JSON.stringify(user) !== JSON.stringify(snapshot.user)) {
      snapshot = { user, reason };
      notify(stateListeners);
    }
    if (reason) notify(endListeners, reason);
    if (tokenChanges) notify(tokenListeners);
  }

  /** Starts or continues a session. `issued` is the time before the request, so the lifetime is never overestimated. */
  function hold({ token, expiresIn, user: { id, username, role } }: Token, issued = Date.now()) {
    // Without a device, a sign-in can return the token of a sign-out that failed.
    dropped.delete(token);
    const user = { id, username, role };
    change({ token, user, issued, due: issued + expiresIn * 500, expires: issued + expiresIn * 1000 });
  }

  function end(token?: string) {
    if (held && held.token === token) change(undefined, Date.now() < held.expires ? "revoked" : "expired");
  }

  function exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = queue.then(work);
    queue = result.catch(() => {});
    return result;
  }

  /** Runs an operation of the current user after the operations in the queue, unless the user has changed. */
  function exclusiveOfUser<T>(work: (own: Held) => Promise<T>) {
    const user = held?.user.id;
    return exclusive(() => {
      if (!held || held.user.id !== user) throw ended();
      return work(held);
    });
  }

  /** Sends an operation that has one root field. Returns the value of the field. */
  async function request<T>(
    query: string,
    variables?: object,
    token?: string,
    authorization = token && bearer(token),
  ): Promise<T> {
    let response: Response;
    try {
      response = await send(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...(authorization && { authorization }) },
        body: JSON.stringify({ query, variables }),
        // A sign-out succeeds although the user leaves the page.
        keepalive: true,
        signal: AbortSignal.timeout(TIMEOUT),
      });
    } catch (cause) {
      throw new SymbolonError("The server cannot be reached.", { code: "NETWORK_ERROR" }, cause);
    }
    const { data, errors } = (await response.json().catch(() => {})) ?? {};
    const value: any = Object.values(data ?? {})[0];
    if (errors || value == null) {
      const { message, extensions } = errors?.[0] ?? {};
      const error = new SymbolonError(
        typeof message === "string" ? message : `The server answered with status ${response.status}.`,
        extensions ?? { code: "BAD_RESPONSE" },
      );
      if (isRefusal(error)) end(token);
      throw error;
    }
    return value;
  }

  const bearer = (token: string) => `Bearer ${token}`;
  const isRefusal = ({ code, reason }: Extensions = {}) =>
    code === "UNAUTHENTICATED" && (reason === "TOKEN_EXPIRED" || reason === "TOKEN_INVALID");
  const ended = () => new SymbolonError("The session has ended.", { code: "SESSION_ENDED" });

  const revokeDropped = () =>
    exclusive(async () => {
      let failure: unknown;
      for (const token of dropped) {
        try {
          await request("mutation { revokeToken }", {}, token);
        } catch (error) {
          if (!isRefusal(error as SymbolonError)) {
            failure = error;
            continue;
          }
        }
        dropped.delete(token);
      }
      if (failure) throw failure;
    });

  function renew(isForced: boolean) {
    return exclusive(async () => {
      const own = held;
      // An operation before it in the queue can have renewed or replaced the token.
      if (!own || !(isForced || isDue(own))) return;
      const now = Date.now();
      try {
        const token = await request<Token>(`mutation { renewToken ${TOKEN} }`, {}, own.token);
        if (held === own) hold(token, now);
      } catch {
        // If the session has not ended, the token can still be valid. The pause also applies if the clock was set back.
        own.due = (own.issued = Date.now()) + PAUSE_AFTER_FAILED_RENEWAL;
      }
    });
  }

  /** Returns whether to renew: half of the lifetime has passed, or the clock was set back. */
  function isDue({ issued, due }: Held) {
    const now = Date.now();
    return now >= due || now < issued;
  }

  async function isRefused(response: Response) {
    // Other types, for example those of streams, can have no end.
    if (!/\/(graphql-response\+)?json *(;|$)/i.test(response.headers.get("content-type")!)) return false;
    try {
      const text = await response.clone().text();
      // Most answers need not be parsed.
      return (
        text.includes("UNAUTHENTICATED") &&
        [JSON.parse(text)].flat().some(
          (answer) => isRefusal(answer) || answer.errors?.some((error: any) => isRefusal(error.extensions)),
        )
      );
    } catch {
      return false;
    }
  }

  const session: Session = {
    url,

    async signIn({ username, password, device }) {
      if (username.includes(":")) {
        throw new SymbolonError("A username cannot contain a colon.", { code: "BAD_USER_INPUT" });
      }
      // HTTP Basic in UTF-8 (RFC 7617).
      const bytes = new TextEncoder().encode(`${username}:${password}`);
      const basic = `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
      const before = signOuts;
      return exclusive(async () => {
        const now = Date.now();
        const token = await request<Token>(
          `mutation ($device: String) { createToken(device: $device) ${TOKEN} }`,
          { device },
          undefined,
          basic,
        );
        if (signOuts !== before) {
          dropped.add(token.token);
          throw ended();
        }
        if (held) dropped.add(held.token);
        hold(token, now);
        revokeDropped().catch(() => {});
        return token.user;
      });
    },

    adopt: (token) => hold(token),

    register: (input) =>
      request<FormResult>(
        `mutation ($input: CreateUserInput!) { createUser(input: $input) { ${USER} ${ERRORS} } }`,
        { input },
      ),

    async signOut() {
      signOuts += 1;
      if (held) {
        dropped.add(held.token);
        change(undefined, "signed-out");
      }
      await revokeDropped();
    },

    signOutOthers: () =>
      exclusiveOfUser(({ token }) => request<number>("mutation { revokeOtherSessions }", {}, token)),

    changePassword(input) {
      const before = signOuts;
      if (held) notify(tokenListeners);
      const result = exclusiveOfUser(async (own) => {
        const now = Date.now();
        const { token, userErrors } = await request<{ token: Token | null } & FormResult>(
          `mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { token ${TOKEN} ${ERRORS} } }`,
          { input },
          own.token,
        );
        if (token) {
          if (signOuts !== before) dropped.add(token.token);
          else hold(token, now);
        }
        return { user: token?.user ?? null, userErrors };
      });
      // Requests wait until the change is done.
      passwordChange = queue;
      return result;
    },

    resetPassword: (variables) =>
      request<FormResult>(
        `mutation ($token: String!, $newPassword: String!) {
          resetPassword(token: $token, newPassword: $newPassword) { ${USER} ${ERRORS} } }`,
        variables,
      ),

    async token() {
      await passwordChange;
      if (held && isDue(held)) await renew(false);
      return held?.token;
    },

    async fetch(input, init) {
      const given = input instanceof Request ? input : undefined;
      const headers = new Headers(init?.headers ?? given?.headers);
      const user = held?.user.id;
      if (!user || headers.has("authorization") || originOf(input) !== originOf(url)) {
        return send(input, init);
      }
      for (let isRetry = false; ; isRetry = true) {
        const token = await unlessAborted(session.token(), init?.signal ?? given?.signal);
        // The user can have changed since. Do not send the request of one user with the token of another.
        if (!token || held?.user.id !== user) throw ended();
        headers.set("authorization", bearer(token));
        const response = await send(input, { ...init, headers });
        if (!(await isRefused(response))) {
          // The answer belongs to a user who is no longer signed in.
          if (held?.user.id !== user) throw ended();
          return response;
        }
        await session.refuse(token);
        if (isRetry || held?.user.id !== user || !isQuery(init, given)) return response;
      }
    },

    getSnapshot: () => snapshot,
    subscribe: (listener) => listen(stateListeners, listener),
    onSignedOut: (listener) => listen(endListeners, listener),
    onTokenChange: (listener) => listen(tokenListeners, listener),
    renew: () => renew(true),
    async refuse(token) {
      // A running request can replace the token.
      await queue;
      end(token);
    },
  };
  return session;
}

/** Returns the origin of a request. `Request` resolves a relative address like `fetch`, also on a page with a base element. */
const originOf = (input: RequestInfo | URL) =>
  new URL(input instanceof Request ? input.url : new Request(input).url).origin;

/** Returns the value of the promise, which does not fail. Fails when the request is aborted. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    promise.then((value) => {
      signal?.removeEventListener("abort", abort);
      resolve(value);
    });
  });
}

/** Returns whether the request can be sent again. A mutation can have been executed in part. */
function isQuery(init?: RequestInit, given?: Request) {
  if (/^(get|head)$/i.test(init?.method ?? given?.method ?? "get")) return true;
  try {
    const { query } = JSON.parse(init!.body as string);
    return query && !/\bmutation\b/.test(query);
  } catch {
    return false;
  }
}

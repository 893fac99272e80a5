import { SymbolonError } from "./error.js";
export { SymbolonError };
const USER = "user { id username role }";
const TOKEN = `{ token expiresIn ${USER} }`;
const ERRORS = "userErrors { code field message }";
const TIMEOUT = 30_000;
const PAUSE_AFTER_FAILED_RENEWAL = 10_000;
/** Creates a session, which is signed in if the tab stores a token. */
export function createSession({ url, storage, fetch: custom }) {
    const key = `symbolon ${url}`;
    const stateListeners = new Set();
    const endListeners = new Set();
    const tokenListeners = new Set();
    let held = load();
    let snapshot = { user: held?.user ?? null, reason: null };
    // `signOut` increments the number, so that an earlier sign-in that is still running does not start a session.
    let signOuts = 0;
    // Requests that issue or revoke a token run one after another.
    let queue = Promise.resolve();
    let passwordChange;
    // The tokens that must be revoked. A token stays here until the server has revoked it.
    const dropped = new Set();
    const send = (input, init) => (custom ?? fetch)(input, init);
    function load() {
        try {
            const stored = storage === "session" && JSON.parse(sessionStorage.getItem(key));
            if (stored.token && stored.user.id)
                return stored;
        }
        catch {
            // There is no storage, or no session in it.
        }
        return;
    }
    function save() {
        if (storage !== "session")
            return;
        try {
            // If the storage is full, no outdated token must remain.
            sessionStorage.removeItem(key);
            if (held)
                sessionStorage.setItem(key, JSON.stringify(held));
        }
        catch {
            // The session is in memory only.
        }
    }
    function notify(listeners, ...values) {
        for (const listener of [...listeners]) {
            try {
                listener(...values);
            }
            catch (error) {
                // The error of a listener does not stop the sign-out. Node.js has no reportError.
                (globalThis.reportError ?? console.error)(error);
            }
        }
    }
    const listen = (listeners, listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
    };
    function change(next, reason = null) {
        const tokenChanges = held?.token !== next?.token;
        held = next;
        save();
        const user = next?.user ?? null;
        if (reason || JSON.stringify(user) !== JSON.stringify(snapshot.user)) {
            snapshot = { user, reason };
            notify(stateListeners);
        }
        if (reason)
            notify(endListeners, reason);
        if (tokenChanges)
            notify(tokenListeners);
    }
    /** Starts or continues a session. `issued` is the time before the request, so the lifetime is never overestimated. */
    function hold({ token, expiresIn, user: { id, username, role } }, issued = Date.now()) {
        // Without a device, a sign-in can return the token of a sign-out that failed.
        dropped.delete(token);
        const user = { id, username, role };
        change({ token, user, issued, due: issued + expiresIn * 500, expires: issued + expiresIn * 1000 });
    }
    function end(token) {
        if (held && held.token === token)
            change(undefined, Date.now() < held.expires ? "revoked" : "expired");
    }
    function exclusive(work) {
        const result = queue.then(work);
        queue = result.catch(() => { });
        return result;
    }
    /** Runs an operation of the current user after the operations in the queue, unless the user has changed. */
    function exclusiveOfUser(work) {
        const user = held?.user.id;
        return exclusive(() => {
            if (!held || held.user.id !== user)
                throw ended();
            return work(held);
        });
    }
    /** Sends an operation that has one root field. Returns the value of the field. */
    async function request(query, variables, token, authorization = token && bearer(token)) {
        let response;
        try {
            response = await send(url, {
                method: "POST",
                headers: { "content-type": "application/json", ...(authorization && { authorization }) },
                body: JSON.stringify({ query, variables }),
                // A sign-out succeeds although the user leaves the page.
                keepalive: true,
                signal: AbortSignal.timeout(TIMEOUT),
            });
        }
        catch (cause) {
            throw new SymbolonError("The server cannot be reached.", { code: "NETWORK_ERROR" }, cause);
        }
        const { data, errors } = (await response.json().catch(() => { })) ?? {};
        const value = Object.values(data ?? {})[0];
        if (errors || value == null) {
            const { message, extensions } = errors?.[0] ?? {};
            const error = new SymbolonError(typeof message === "string" ? message : `The server answered with status ${response.status}.`, extensions ?? { code: "BAD_RESPONSE" });
            if (isRefusal(error))
                end(token);
            throw error;
        }
        return value;
    }
    const bearer = (token) => `Bearer ${token}`;
    const isRefusal = ({ code, reason } = {}) => code === "UNAUTHENTICATED" && (reason === "TOKEN_EXPIRED" || reason === "TOKEN_INVALID");
    const ended = () => new SymbolonError("The session has ended.", { code: "SESSION_ENDED" });
    const revokeDropped = () => exclusive(async () => {
        let failure;
        for (const token of dropped) {
            try {
                await request("mutation { revokeToken }", {}, token);
            }
            catch (error) {
                if (!isRefusal(error)) {
                    failure = error;
                    continue;
                }
            }
            dropped.delete(token);
        }
        if (failure)
            throw failure;
    });
    function renew(isForced) {
        return exclusive(async () => {
            const own = held;
            // An operation before it in the queue can have renewed or replaced the token.
            if (!own || !(isForced || isDue(own)))
                return;
            const now = Date.now();
            try {
                const token = await request(`mutation { renewToken ${TOKEN} }`, {}, own.token);
                if (held === own)
                    hold(token, now);
            }
            catch {
                // If the session has not ended, the token can still be valid. The pause also applies if the clock was set back.
                own.due = (own.issued = Date.now()) + PAUSE_AFTER_FAILED_RENEWAL;
            }
        });
    }
    /** Returns whether to renew: half of the lifetime has passed, or the clock was set back. */
    function isDue({ issued, due }) {
        const now = Date.now();
        return now >= due || now < issued;
    }
    async function isRefused(response) {
        // Other types, for example those of streams, can have no end.
        if (!/\/(graphql-response\+)?json *(;|$)/i.test(response.headers.get("content-type")))
            return false;
        try {
            const text = await response.clone().text();
            // Most answers need not be parsed.
            return (text.includes("UNAUTHENTICATED") &&
                [JSON.parse(text)].flat().some((answer) => isRefusal(answer) || answer.errors?.some((error) => isRefusal(error.extensions))));
        }
        catch {
            return false;
        }
    }
    const session = {
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
                const token = await request(`mutation ($device: String) { createToken(device: $device) ${TOKEN} }`, { device }, undefined, basic);
                if (signOuts !== before) {
                    dropped.add(token.token);
                    throw ended();
                }
                if (held)
                    dropped.add(held.token);
                hold(token, now);
                revokeDropped().catch(() => { });
                return token.user;
            });
        },
        adopt: (token) => hold(token),
        register: (input) => request(`mutation ($input: CreateUserInput!) { createUser(input: $input) { ${USER} ${ERRORS} } }`, { input }),
        async signOut() {
            signOuts += 1;
            if (held) {
                dropped.add(held.token);
                change(undefined, "signed-out");
            }
            await revokeDropped();
        },
        signOutOthers: () => exclusiveOfUser(({ token }) => request("mutation { revokeOtherSessions }", {}, token)),
        changePassword(input) {
            const before = signOuts;
            if (held)
                notify(tokenListeners);
            const result = exclusiveOfUser(async (own) => {
                const now = Date.now();
                const { token, userErrors } = await request(`mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { token ${TOKEN} ${ERRORS} } }`, { input }, own.token);
                if (token) {
                    if (signOuts !== before)
                        dropped.add(token.token);
                    else
                        hold(token, now);
                }
                return { user: token?.user ?? null, userErrors };
            });
            // Requests wait until the change is done.
            passwordChange = queue;
            return result;
        },
        resetPassword: (variables) => request(`mutation ($token: String!, $newPassword: String!) {
          resetPassword(token: $token, newPassword: $newPassword) { ${USER} ${ERRORS} } }`, variables),
        async token() {
            await passwordChange;
            if (held && isDue(held))
                await renew(false);
            return held?.token;
        },
        async fetch(input, init) {
            const given = input instanceof Request ? input : undefined;
            const headers = new Headers(init?.headers ?? given?.headers);
            const user = held?.user.id;
            if (!user || headers.has("authorization") || originOf(input) !== originOf(url)) {
                return send(input, init);
            }
            for (let isRetry = false;; isRetry = true) {
                const token = await unlessAborted(session.token(), init?.signal ?? given?.signal);
                // The user can have changed since. Do not send the request of one user with the token of another.
                if (!token || held?.user.id !== user)
                    throw ended();
                headers.set("authorization", bearer(token));
                const response = await send(input, { ...init, headers });
                if (!(await isRefused(response))) {
                    // The answer belongs to a user who is no longer signed in.
                    if (held?.user.id !== user)
                        throw ended();
                    return response;
                }
                await session.refuse(token);
                if (isRetry || held?.user.id !== user || !isQuery(init, given))
                    return response;
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
const originOf = (input) => new URL(input instanceof Request ? input.url : new Request(input).url).origin;
/** Returns the value of the promise, which does not fail. Fails when the request is aborted. */
function unlessAborted(promise, signal) {
    return new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        if (signal?.aborted)
            abort();
        signal?.addEventListener("abort", abort);
        promise.then((value) => {
            signal?.removeEventListener("abort", abort);
            resolve(value);
        });
    });
}
/** Returns whether the request can be sent again. A mutation can have been executed in part. */
function isQuery(init, given) {
    if (/^(get|head)$/i.test(init?.method ?? given?.method ?? "get"))
        return true;
    try {
        const { query } = JSON.parse(init.body);
        return query && !/\bmutation\b/.test(query);
    }
    catch {
        return false;
    }
}

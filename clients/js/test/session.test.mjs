// Sign-in, renewal, sign-out and their concurrency.

import { getEventListeners } from "node:events";

import { createSession } from "@symbolon/client";
import { afterEach, expect, test, vi } from "vitest";

import {
  ask,
  ME,
  network,
  NEW_PASSWORD,
  operation,
  PASSWORD,
  plain,
  refusal,
  register,
  signedIn,
  stopClock,
  tabStorage,
  URL_GRAPHQL,
} from "./support.mjs";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const SIGNED_OUT = (reason) => ({ user: null, reason });

test("register, sign in on a device, ask, sign out", async () => {
  const { username, user, session, ends, token } = await signedIn();
  expect(user).toMatchObject({ username, role: "USER" });
  expect(session.getSnapshot()).toEqual({ user, reason: null });
  expect((await ask(session)).data.me.username).toBe(username);
  const sessions = "{ me { sessions { nodes { device current } } } }";
  const { data } = await ask(session, sessions);
  expect(data.me.sessions.nodes).toEqual([{ device: "test", current: true }]);
  await session.signOut();
  expect(session.getSnapshot()).toEqual(SIGNED_OUT("signed-out"));
  expect(ends).toEqual(["signed-out"]);
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  expect((await ask(session)).errors[0].extensions.reason).toBe("MISSING");
  await session.signOut();
  expect(ends).toEqual(["signed-out"]);
});

test("without a device name, clients share a session", async () => {
  const username = await register();
  const tokens = [];
  for (let clients = 0; clients < 2; clients += 1) {
    const session = createSession({ url: URL_GRAPHQL });
    await session.signIn({ username, password: PASSWORD });
    tokens.push(await session.token());
  }
  expect(tokens[0]).toBe(tokens[1]);
});

test("refused forms return errors with fields, and other errors are thrown", async () => {
  const net = network();
  const session = createSession({ url: URL_GRAPHQL, fetch: net.fetch });
  const { user, userErrors } = await session.register({ username: "a b", password: "short" });
  expect(user).toBe(null);
  expect(userErrors.map(({ field, code }) => [field, code])).toEqual([
    ["username", "INVALID"],
    ["password", "TOO_SHORT"],
  ]);
  const reset = await session.resetPassword({ token: "unknown", newPassword: PASSWORD });
  expect(reset.userErrors[0]).toMatchObject({ field: "token", code: "INVALID" });
  const wrong = session.signIn({ username: await register(), password: "wrong" });
  await expect(wrong).rejects.toMatchObject({
    name: "SymbolonError",
    code: "UNAUTHENTICATED",
    reason: "INVALID_CREDENTIALS",
    message: "The username or password is wrong.",
  });
  const before = net.count("");
  const colon = session.signIn({ username: "a:b", password: PASSWORD });
  await expect(colon).rejects.toMatchObject({ code: "BAD_USER_INPUT" });
  expect(net.count("")).toBe(before);
  await expect(session.signOutOthers()).rejects.toMatchObject({ code: "SESSION_ENDED" });
  const changes = vi.fn();
  session.onTokenChange(changes);
  const change = session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  await expect(change).rejects.toMatchObject({ code: "SESSION_ENDED" });
  // Sockets without credentials stay open.
  expect(changes).not.toHaveBeenCalled();
  expect(session.getSnapshot()).toEqual({ user: null, reason: null });
});

test("an answer that is not that of the server, and no answer", async () => {
  const gateway = async () => new Response("<h1>Bad Gateway</h1>", { status: 502 });
  const session = createSession({ url: URL_GRAPHQL, fetch: gateway });
  const credentials = { username: "ada", password: PASSWORD };
  await expect(session.signIn(credentials)).rejects.toMatchObject({ code: "BAD_RESPONSE" });
  for (const answer of [null, 1, [], {}, { data: {} }, { data: { createToken: null } }, { errors: [null] }, { errors: [{ message: {} }] }]) {
    const strange = createSession({ url: URL_GRAPHQL, fetch: async () => Response.json(answer) });
    const failure = await strange.signIn(credentials).catch((error) => error);
    expect(failure).toMatchObject({ name: "SymbolonError", code: "BAD_RESPONSE" });
    expect(failure.message).toBe("The server answered with status 200.");
    expect(strange.getSnapshot().user).toBe(null);
  }
  // Longer than the arguments of a function can be.
  const long = createSession({ url: URL_GRAPHQL, fetch: gateway });
  await expect(long.signIn({ username: "ada", password: "x".repeat(200_000) })).rejects.toMatchObject({ code: "BAD_RESPONSE" });
  const offline = createSession({ url: "http://127.0.0.1:1/graphql" });
  await expect(offline.signIn(credentials)).rejects.toMatchObject({ code: "NETWORK_ERROR" });
});

test("a token that a mutation of the application returned starts a session", async () => {
  const { token, user, username } = await signedIn();
  const session = createSession({ url: URL_GRAPHQL });
  session.adopt({ token, expiresIn: 3600, user });
  expect(session.getSnapshot()).toEqual({ user, reason: null });
  expect((await ask(session)).data.me.username).toBe(username);
});

test("sign out other devices", async () => {
  const { username, session, token } = await signedIn();
  const other = createSession({ url: URL_GRAPHQL });
  await other.signIn({ username, password: PASSWORD, device: "other" });
  const refused = await other.token();
  expect(await session.signOutOthers()).toBe(1);
  expect([await refusal(refused), await refusal(token)]).toEqual(["TOKEN_EXPIRED", undefined]);
});

test("at half of the lifetime, one renewal for all operations that wait", async () => {
  const { session, net, token } = await signedIn();
  const advance = stopClock();
  advance(1795);
  await ask(session);
  expect(net.count("renewToken")).toBe(0);
  advance(10);
  const snapshot = session.getSnapshot();
  const renewal = net.hold("renewToken");
  const answers = Promise.all(Array.from({ length: 10 }, () => ask(session)));
  await renewal.answered;
  expect(net.count("query Me")).toBe(1);
  renewal.release();
  for (const { data } of await answers) expect(data.me).toBeTruthy();
  expect(net.count("renewToken")).toBe(1);
  expect(await session.token()).toBe(token);
  // A renewal is no change of the state.
  expect(session.getSnapshot()).toBe(snapshot);
  advance(1795);
  await ask(session);
  expect(net.count("renewToken")).toBe(1);
  // The clock was set back, so the time of the next renewal is unknown.
  advance(-100_000);
  await ask(session);
  expect(net.count("renewToken")).toBe(2);
});

test("an unused session is not renewed", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "setInterval", "Date"] });
  const { net } = await signedIn();
  await vi.advanceTimersByTimeAsync(3_000_000);
  expect(net.count("renewToken")).toBe(0);
});

test("a renewal that fails does not end the session, and is tried again later", async () => {
  const { session, net, token, ends } = await signedIn();
  const advance = stopClock();
  advance(1900);
  net.fail("renewToken");
  expect((await ask(session)).data.me).toBeTruthy();
  await ask(session);
  expect(net.count("renewToken")).toBe(1);
  net.fail();
  advance(11);
  expect(await session.token()).toBe(token);
  expect(net.count("renewToken")).toBe(2);
  // The pause also applies after the clock was set back.
  net.fail("renewToken");
  advance(-100_000);
  await ask(session);
  await ask(session);
  expect(net.count("renewToken")).toBe(3);
  advance(11);
  await ask(session);
  expect(net.count("renewToken")).toBe(4);
  expect(ends).toEqual([]);
});

test("after the lifetime, the server decides", async () => {
  const { session, ends, token } = await signedIn();
  const advance = stopClock();
  // Another tab has renewed the token.
  advance(4000);
  expect((await ask(session)).data.me).toBeTruthy();
  advance(4000);
  await plain(token, "mutation { revokeToken }");
  await expect(ask(session)).rejects.toMatchObject({ code: "SESSION_ENDED" });
  expect(ends).toEqual(["expired"]);
  expect(session.getSnapshot()).toEqual(SIGNED_OUT("expired"));
});

test("a token that was revoked elsewhere ends the session once", async () => {
  const { session, ends, net, token } = await signedIn();
  await plain(token, "mutation { revokeToken }");
  const answers = await Promise.all([ask(session), ask(session), ask(session)]);
  for (const { errors } of answers) expect(errors[0].extensions.reason).toBe("TOKEN_EXPIRED");
  expect(ends).toEqual(["revoked"]);
  expect(net.count("query Me")).toBe(3);
});

test("functions of the client also notice a revoked token", async () => {
  for (const use of [
    (session) => session.signOutOthers(),
    (session) => session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD }),
  ]) {
    const { session, ends, token } = await signedIn();
    await plain(token, "mutation { revokeToken }");
    await expect(use(session)).rejects.toMatchObject({ reason: "TOKEN_EXPIRED" });
    expect(ends).toEqual(["revoked"]);
  }
});

test("an error that says nothing about the token does not end the session", async () => {
  const { session, ends } = await signedIn();
  const { errors } = await ask(session, "mutation { createToken { token } }");
  expect(errors[0].extensions.reason).toBe("MISSING");
  const text = "query ($name: String!) { user(username: $name) { id } }";
  await ask(session, text, { name: '"UNAUTHENTICATED" "TOKEN_EXPIRED"' });
  expect(ends).toEqual([]);
});

test("a change of the password continues the session, and requests wait for the new token", async () => {
  const { session, ends, net, token } = await signedIn();
  const wrong = await session.changePassword({ currentPassword: "no", newPassword: NEW_PASSWORD });
  expect(wrong.userErrors[0]).toMatchObject({ field: "currentPassword", code: "WRONG_PASSWORD" });
  const change = net.hold("changePassword");
  const changing = session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  await change.answered;
  // The server has replaced the token, and the client does not have the new one yet. Requests wait for it.
  const during = ask(session);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(net.count("query Me")).toBe(0);
  change.release();
  expect((await changing).userErrors).toEqual([]);
  expect((await during).data.me).toBeTruthy();
  expect(await session.token()).not.toBe(token);
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  expect(ends).toEqual([]);
});

test("a mutation is never sent twice, and a query at most twice", async () => {
  const username = await register();
  let [gate, open] = [Promise.resolve()];
  const sent = [];
  const session = createSession({
    url: URL_GRAPHQL,
    // Requests of the application arrive late.
    async fetch(url, options) {
      sent.push(options.body);
      if (/addNote|query Me/.test(options.body)) await gate;
      const response = await fetch(url, options);
      if (options.body.includes("changePassword")) {
        // The requests are refused before the client has the new token.
        open();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return response;
    },
  });
  const count = (name) => sent.filter((body) => body.includes(name)).length;
  await session.signIn({ username, password: PASSWORD, device: "test" });
  gate = new Promise((resolve) => (open = resolve));
  const query = ask(session);
  const mutation = ask(session, 'mutation { addNote(text: "once") }');
  await vi.waitFor(() => expect(count("query Me") + count("addNote")).toBe(2));
  await session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  expect((await query).data.me.username).toBe(username);
  expect((await mutation).errors[0].extensions.reason).toBe("TOKEN_EXPIRED");
  expect([count("query Me"), count("addNote")]).toEqual([2, 1]);
  expect(session.getSnapshot().user.username).toBe(username);
});

test("a refused request is sent again only if it is certainly a query", async () => {
  const { token, user } = await signedIn();
  const post = (body) => ({ method: "POST", body });
  const requests = [
    [post(JSON.stringify({ query: ME })), 2],
    [{}, 2],
    [post(JSON.stringify({ query: "mutation { addNote }" })), 1],
    [post('{"query":"mut\\u0061tion { addNote }"}'), 1],
    [post(JSON.stringify({ query: `${ME} # no mutation` })), 1],
    [post(JSON.stringify([{ query: ME }])), 1],
    [post(JSON.stringify({ extensions: { persistedQuery: { version: 1, sha256Hash: "0" } } })), 1],
    [post(new URLSearchParams({ query: ME })), 1],
    [post(), 1],
  ];
  for (const [init, times] of requests) {
    let sent = 0;
    const session = createSession({
      url: URL_GRAPHQL,
      async fetch() {
        sent += 1;
        // The token is replaced while the request is on its way.
        session.adopt({ token: `${token}${sent}`, expiresIn: 3600, user });
        return Response.json({ errors: [{ extensions: { code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED" } }] });
      },
    });
    session.adopt({ token, expiresIn: 3600, user });
    await session.fetch(URL_GRAPHQL, init);
    expect([init.body, sent]).toEqual([init.body, times]);
    expect(session.getSnapshot().user).toEqual(user);
  }
});

test("a late refusal does not end a newer session, and a late answer is not delivered to it", async () => {
  for (const isRevoked of [true, false]) {
    const { username, session, net, ends, token } = await signedIn();
    const other = await register();
    if (isRevoked) await plain(token, "mutation { revokeToken }");
    const held = net.hold("query Me");
    const late = ask(session);
    await held.answered;
    const user = await session.signIn({ username: other, password: PASSWORD, device: "test" });
    held.release();
    if (isRevoked) expect((await late).errors[0].extensions.reason).toBe("TOKEN_EXPIRED");
    else await expect(late).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(session.getSnapshot()).toEqual({ user, reason: null });
    expect((await ask(session)).data.me.username).toBe(other);
    expect(ends).toEqual([]);
    // The token of the first user was revoked.
    await vi.waitFor(async () => expect(await refusal(token)).toBe("TOKEN_EXPIRED"));
    expect(username).not.toBe(other);
  }
});

test("a request that waits for a renewal can be aborted", async () => {
  const { session, net } = await signedIn();
  stopClock()(1900);
  const renewal = net.hold("renewToken");
  const abort = new AbortController();
  const reason = new Error("no longer needed");
  const given = { ...operation(ME), signal: abort.signal };
  const requests = [
    session.fetch(URL_GRAPHQL, given),
    session.fetch(new Request(URL_GRAPHQL, given)),
  ].map((request) => request.catch((error) => error));
  await renewal.answered;
  abort.abort(reason);
  // The Request has a signal of its own, which follows the given one.
  expect(await Promise.all(requests)).toEqual([reason, reason]);
  expect(await session.fetch(URL_GRAPHQL, given).catch((error) => error)).toBe(reason);
  renewal.release();
  expect((await ask(session)).data.me).toBeTruthy();
  expect(net.count("query Me")).toBe(1);
  // A signal can outlive many requests.
  const { signal } = new AbortController();
  const other = createSession({ url: URL_GRAPHQL, fetch: async () => Response.json({}) });
  other.adopt({ token: "token", expiresIn: 3600, user: session.getSnapshot().user });
  await other.fetch(URL_GRAPHQL, { ...operation(ME), signal });
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("a request that waits for a renewal is not sent for another user", async () => {
  const { session, net } = await signedIn();
  const other = await register();
  stopClock()(1900);
  const renewal = net.hold("renewToken");
  const waiting = ask(session);
  await renewal.answered;
  const signedOut = session.signOut();
  const signIn = session.signIn({ username: other, password: PASSWORD });
  renewal.release();
  await expect(waiting).rejects.toMatchObject({ code: "SESSION_ENDED" });
  await Promise.all([signedOut, signIn]);
  expect(net.count("query Me")).toBe(0);
  expect(session.getSnapshot().user.username).toBe(other);
});

test("a request that waits for a renewal is not sent with the token of another user", async () => {
  const { session, net } = await signedIn();
  const other = await signedIn();
  stopClock()(1900);
  const renewal = net.hold("renewToken");
  const waiting = ask(session);
  await renewal.answered;
  session.adopt({ token: other.token, expiresIn: 3600, user: other.user });
  renewal.release();
  await expect(waiting).rejects.toMatchObject({ code: "SESSION_ENDED" });
  expect(net.count("query Me")).toBe(0);
});

test("the answer is passed on while a stream continues, and is read only if it is one JSON document", async () => {
  const refused = JSON.stringify({ errors: [{ extensions: { code: "UNAUTHENTICATED", reason: "TOKEN_INVALID" } }] });
  const { token, user } = await signedIn();
  const types = {
    "application/json": true,
    "application/graphql-response+json; charset=utf-8": true,
    "application/jsonl": false,
    "application/x-ndjson": false,
    "application/stream+json": false,
    "application/json-seq": false,
    "text/event-stream": false,
    'multipart/mixed; boundary="json"': false,
  };
  for (const [type, isRead] of Object.entries(types)) {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(refused));
        if (isRead) controller.close();
      },
    });
    const answer = new Response(body, { headers: { "content-type": type } });
    const session = createSession({ url: URL_GRAPHQL, fetch: async () => answer });
    session.adopt({ token, expiresIn: 3600, user });
    const response = await session.fetch(URL_GRAPHQL, operation(ME));
    const { value } = await response.body.getReader().read();
    expect(new TextDecoder().decode(value)).toBe(refused);
    expect([type, session.getSnapshot().reason]).toEqual([type, isRead ? "revoked" : null]);
  }
});

test("a sign-out during a renewal leaves no live token, and the renewal does not restore the session", async () => {
  const { session, net, token, ends } = await signedIn();
  stopClock()(1900);
  const renewal = net.hold("renewToken");
  void session.token();
  await renewal.answered;
  const signedOut = session.signOut();
  expect(session.getSnapshot()).toEqual(SIGNED_OUT("signed-out"));
  renewal.release();
  await signedOut;
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  expect(await session.token()).toBe(undefined);
  expect(ends).toEqual(["signed-out"]);
});

test("a sign-out during a sign-in or a change of the password leaves no live token", async () => {
  const start = {
    createToken: (session, username) => session.signIn({ username, password: PASSWORD, device: "b" }),
    changePassword: (session) =>
      session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD }),
  };
  for (const [name, run] of Object.entries(start)) {
    const { username, session, net } = await signedIn();
    const held = net.hold(name);
    const running = run(session, username).catch((error) => error);
    await held.answered;
    const signedOut = session.signOut();
    held.release();
    await Promise.all([running, signedOut]);
    expect(session.getSnapshot()).toEqual(SIGNED_OUT("signed-out"));
    const check = createSession({ url: URL_GRAPHQL });
    const password = name === "createToken" ? PASSWORD : NEW_PASSWORD;
    await check.signIn({ username, password, device: "check" });
    const { data } = await ask(check, "{ me { sessions { nodes { device } } } }");
    expect(data.me.sessions.nodes).toEqual([{ device: "check" }]);
  }
});

test("a sign-out is local at once, and says if the server was not reached", async () => {
  const { session, net, ends, token } = await signedIn();
  net.fail("revokeToken");
  const signedOut = session.signOut();
  expect(session.getSnapshot()).toEqual(SIGNED_OUT("signed-out"));
  await expect(signedOut).rejects.toMatchObject({ code: "NETWORK_ERROR" });
  expect(ends).toEqual(["signed-out"]);
  expect(await refusal(token)).toBe(undefined);
});

test("a sign-out that failed can be repeated, and revokes all tokens", async () => {
  const { username, session, net, token } = await signedIn();
  // The sign-in that is running adds a second token.
  const held = net.hold("createToken");
  const running = session.signIn({ username, password: PASSWORD, device: "b" }).catch((error) => error);
  await held.answered;
  net.fail("revokeToken");
  const first = session.signOut();
  held.release();
  await expect(first).rejects.toMatchObject({ code: "NETWORK_ERROR" });
  expect(await running).toMatchObject({ code: "SESSION_ENDED" });
  // The failure for the first token does not stop the second.
  expect(net.count("revokeToken")).toBe(2);
  await expect(session.signOut()).rejects.toMatchObject({ code: "NETWORK_ERROR" });
  net.fail();
  await session.signOut();
  expect(net.count("revokeToken")).toBe(6);
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  await session.signOut();
  expect(net.count("revokeToken")).toBe(6);
  const check = createSession({ url: URL_GRAPHQL });
  await check.signIn({ username, password: PASSWORD, device: "check" });
  const { data } = await ask(check, "{ me { sessions { nodes { device } } } }");
  expect(data.me.sessions.nodes).toEqual([{ device: "check" }]);
});

test("a sign-in after a sign-out that failed revokes the token, unless the session is shared", async () => {
  for (const device of ["test", undefined]) {
    const { username, session, net, token } = await signedIn();
    if (!device) await session.signIn({ username, password: PASSWORD });
    const last = await session.token();
    net.fail("revokeToken");
    await expect(session.signOut()).rejects.toMatchObject({ code: "NETWORK_ERROR" });
    net.fail();
    await session.signIn({ username, password: PASSWORD, device });
    await vi.waitFor(async () => expect(await refusal(token)).toBe("TOKEN_EXPIRED"));
    expect((await session.token()) === last).toBe(!device);
    await session.signOutOthers();
    expect((await ask(session)).data.me.username).toBe(username);
  }
});

test("a sign-out with a dead token succeeds", async () => {
  const { session, token } = await signedIn();
  await plain(token, "mutation { revokeAllTokens }");
  await session.signOut();
});

test("two sign-ins at once leave one live token", async () => {
  const username = await register();
  const session = createSession({ url: URL_GRAPHQL });
  const credentials = { username, password: PASSWORD, device: "double click" };
  await Promise.all([session.signIn(credentials), session.signIn(credentials)]);
  const sessions = async () =>
    (await ask(session, "{ me { sessions { nodes { current } } } }")).data.me.sessions.nodes;
  await vi.waitFor(async () => expect(await sessions()).toEqual([{ current: true }]));
});

test("the token goes only to the origin of the server, and never replaces other credentials", async () => {
  const seen = [];
  const record = async (input, init) => {
    const { url, headers } = new Request(input, init);
    seen.push([new URL(url).pathname, headers.get("authorization")]);
    return Response.json({});
  };
  vi.stubGlobal("sessionStorage", tabStorage());
  const { session, token } = await signedIn({ storage: "session" });
  const stored = createSession({ url: URL_GRAPHQL, storage: "session", fetch: record });
  await stored.fetch("https://example.org/other");
  await stored.fetch(URL_GRAPHQL, { headers: { Authorization: "Basic YTpi" } });
  await stored.fetch(new Request(`${URL_GRAPHQL}/request`, { headers: { authorization: "Basic YTpi" } }));
  await stored.fetch(new URL(`${URL_GRAPHQL}/url`));
  expect(seen).toEqual([
    ["/other", null],
    ["/graphql", "Basic YTpi"],
    ["/graphql/request", "Basic YTpi"],
    ["/graphql/url", `Bearer ${token}`],
  ]);
  expect(session.getSnapshot().user).toEqual(stored.getSnapshot().user);
});

test("on a page with a base element of another origin, relative requests carry no token", async () => {
  const { session } = await signedIn();
  // `Request` and `fetch` resolve addresses by the base element, `location` does not.
  vi.stubGlobal("location", { href: URL_GRAPHQL });
  vi.stubGlobal(
    "Request",
    class extends Request {
      constructor(input, init) {
        super(typeof input === "string" ? new URL(input, "https://example.org") : input, init);
      }
    },
  );
  const sent = vi.fn(async () => Response.json({}));
  vi.stubGlobal("fetch", sent);
  await session.fetch("/graphql");
  expect(new Headers(sent.mock.calls[0][1]?.headers).has("authorization")).toBe(false);
  await session.fetch(URL_GRAPHQL);
  expect(new Headers(sent.mock.calls[1][1].headers).has("authorization")).toBe(true);
});

test("a listener that fails is reported, and does not stop a sign-out", async () => {
  const { session, token } = await signedIn();
  const failure = new Error("a listener");
  session.subscribe(() => {
    throw failure;
  });
  // Node.js has no reportError, and ends after an unhandled rejection.
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  await session.signOut();
  expect(log.mock.calls).toEqual([[failure]]);
  log.mockRestore();
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  const report = vi.fn();
  vi.stubGlobal("reportError", report);
  const { session: next } = await signedIn();
  next.subscribe(() => {
    throw failure;
  });
  await next.signOut();
  expect(report.mock.calls).toEqual([[failure]]);
});

test("the tab stores the session, not the password, until it ends", async () => {
  const storage = tabStorage();
  vi.stubGlobal("sessionStorage", storage);
  const { username, session, token } = await signedIn({ storage: "session" });
  expect(JSON.stringify(storage.entries())).not.toContain("hörse");
  const reloaded = createSession({ url: URL_GRAPHQL, storage: "session" });
  expect(reloaded.getSnapshot()).toEqual(session.getSnapshot());
  expect((await ask(reloaded)).data.me.username).toBe(username);
  // A duplicated tab has a copy of the storage.
  vi.stubGlobal("sessionStorage", tabStorage(storage.entries()));
  const duplicate = createSession({ url: URL_GRAPHQL, storage: "session" });
  vi.stubGlobal("sessionStorage", storage);
  await reloaded.signOut();
  expect(storage.entries()).toEqual({});
  expect(await refusal(token)).toBe("TOKEN_EXPIRED");
  const reasons = [];
  duplicate.onSignedOut((reason) => reasons.push(reason));
  await ask(duplicate);
  expect(reasons).toEqual(["revoked"]);
  // Another server has another key, and memory is not stored.
  const other = createSession({ url: "https://example.org/graphql", storage: "session" });
  expect(other.getSnapshot().user).toBe(null);
});

test("storage that fails, or contains something else, is replaced by memory", async () => {
  const fails = () => {
    throw new Error("QuotaExceededError");
  };
  const storages = [
    undefined,
    { ...tabStorage(), getItem: fails, removeItem: fails },
    { ...tabStorage(), setItem: fails },
    { ...tabStorage(), getItem: () => "{" },
    { ...tabStorage(), getItem: () => "{}" },
    { ...tabStorage(), getItem: () => "null" },
  ];
  for (const storage of storages) {
    vi.stubGlobal("sessionStorage", storage);
    const { username, session } = await signedIn({ storage: "session" });
    expect((await ask(session)).data.me.username).toBe(username);
  }
});

test("on a server, there is no storage and no location", async () => {
  expect(globalThis.location).toBe(undefined);
  const { session } = await signedIn();
  expect((await session.fetch(URL_GRAPHQL, operation(ME))).ok).toBe(true);
});

// Apollo Client, urql and graphql-ws with a session.

import { ApolloClient, gql, InMemoryCache } from "@apollo/client";
import { clearCacheOnUserChange, sessionLink } from "@symbolon/client/apollo";
import { socketOptions } from "@symbolon/client/graphql-ws";
import { clientOfUser } from "@symbolon/client/urql";
import { cacheExchange, fetchExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { afterEach, expect, test, vi } from "vitest";
import WebSocket from "ws";

import {
  ask,
  ME,
  NEW_PASSWORD,
  PASSWORD,
  plain,
  register,
  signedIn,
  stopClock,
  symbolon,
  URL_GRAPHQL,
} from "./support.mjs";

afterEach(() => vi.useRealTimers());

function apollo(session) {
  const client = new ApolloClient({ link: sessionLink(session), cache: new InMemoryCache() });
  clearCacheOnUserChange(session, client);
  const me = async (fetchPolicy) => (await client.query({ query: gql(ME), fetchPolicy })).data.me.username;
  return { client, me };
}

test("Apollo Client: the cache belongs to one user", async () => {
  const { username, session, net } = await signedIn();
  const other = await register();
  const { client, me } = apollo(session);
  expect([await me(), await me()]).toEqual([username, username]);
  expect(net.count("query Me")).toBe(1);
  // An answer that arrives after the sign-out is neither delivered nor cached.
  const held = net.hold("query Me");
  const late = me("network-only").catch((error) => error);
  await held.answered;
  await session.signOut();
  held.release();
  expect(await late).toBeInstanceOf(Error);
  expect(client.extract()).toEqual({});
  await session.signIn({ username: other, password: PASSWORD });
  expect(await me()).toBe(other);
  // An active query is asked again for the next user.
  const seen = [];
  const query = client.watchQuery({ query: gql(ME) });
  query.subscribe(({ data }) => data && seen.push(data.me.username));
  await session.signIn({ username, password: PASSWORD });
  await vi.waitFor(() => expect(seen.at(-1)).toBe(username));
});

test("Apollo Client: a revoked token", async () => {
  const { session, ends, token } = await signedIn();
  const { me } = apollo(session);
  await plain(token, "mutation { revokeToken }");
  // The cache is cleared before the answer is processed.
  await expect(me()).rejects.toThrow();
  expect(ends).toEqual(["revoked"]);
});

test("Apollo Client: operations wait for one renewal", async () => {
  const { username, session, net } = await signedIn();
  const { me } = apollo(session);
  stopClock()(1900);
  const answers = await Promise.all([me("network-only"), me("no-cache"), me("no-cache")]);
  expect(answers).toEqual([username, username, username]);
  expect(net.count("renewToken")).toBe(1);
});

test("urql: each user has a client", async () => {
  const { username, session, net, ends, token } = await signedIn();
  const other = await register();
  const client = clientOfUser(session, { exchanges: [cacheExchange, fetchExchange] });
  const me = async () => (await client().query(ME, {})).data?.me.username;
  expect([await me(), await me()]).toEqual([username, username]);
  expect(net.count("query Me")).toBe(1);
  const first = client();
  expect(client()).toBe(first);
  await session.signIn({ username: other, password: PASSWORD });
  expect(client()).not.toBe(first);
  expect(await me()).toBe(other);
  await vi.waitFor(async () => expect((await plain(token, ME)).errors).toBeTruthy());
  await plain(await session.token(), "mutation { revokeToken }");
  const { error } = await client().query("query Role { me { role } }", {});
  expect(error.graphQLErrors[0].extensions.reason).toBe("TOKEN_EXPIRED");
  expect(ends).toEqual(["revoked"]);
});

/** Subscribes to the notes of the user, and records the events. */
async function listening(options) {
  const own = await signedIn(options);
  const log = { notes: [], closed: [], opened: 0 };
  const settings = socketOptions(own.session);
  const sockets = createClient({
    url: URL_GRAPHQL.replace("http", "ws"),
    webSocketImpl: WebSocket,
    ...settings,
  });
  let lose;
  sockets.on("connected", (socket) => {
    log.opened += 1;
    lose = () => socket.terminate();
  });
  sockets.on("closed", ({ code }) => log.closed.push(code));
  const stop = sockets.subscribe(
    { query: "subscription { noteAdded }" },
    {
      next: ({ data }) => log.notes.push(data?.noteAdded),
      error: (error) => (log.error = error),
      complete: () => (log.complete = true),
    },
  );
  /** Adds notes until one arrives, because the subscription starts after some time. */
  const hears = (text) =>
    vi.waitFor(
      async () => {
        await ask(own.session, "mutation ($text: String!) { addNote(text: $text) }", { text });
        expect(log.notes).toContain(text);
      },
      { timeout: 10_000 },
    );
  await hears("first");
  return { ...own, log, sockets, hears, stop, lose: () => lose() };
}

const ended = (log) => vi.waitFor(() => expect(log.error).toBeTruthy(), { timeout: 10_000 });

test("graphql-ws: a socket is opened again after 4403 and after the network was lost", async () => {
  const { username, session, log, lose, hears } = await listening();
  symbolon("user", "set-role", username, "admin");
  await vi.waitFor(() => expect(log.closed).toEqual([4403]), { timeout: 10_000 });
  await hears("after 4403");
  // The renewal got the new role.
  expect(session.getSnapshot().user.role).toBe("ADMIN");
  lose();
  await hears("after a loss");
  expect(log.opened).toBe(3);
  expect(log.error).toBe(undefined);
});

test("graphql-ws: no socket is opened after 4401, and the session ends", async () => {
  const { log, ends, token, net } = await listening();
  await plain(token, "mutation { revokeToken }");
  await ended(log);
  expect(log.closed).toEqual([4401]);
  expect(ends).toEqual(["revoked"]);
  expect([log.opened, net.count("renewToken")]).toEqual([1, 0]);
});

test("graphql-ws: a change of the password opens a socket with the new token", async () => {
  const { session, log, ends, hears } = await listening();
  await session.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  await hears("after the change");
  expect(log.closed).not.toContain(4401);
  expect([log.error, ends]).toEqual([undefined, []]);
});

test("graphql-ws: another user gets a socket, and a sign-out closes it", async () => {
  const { session, log, sockets, hears } = await listening();
  const other = await register();
  await session.signIn({ username: other, password: PASSWORD });
  await hears("for the other user");
  await session.signOut();
  await ended(log);
  expect(log.error.code).toBe(4499);
  const { opened } = log;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(log.opened).toBe(opened);
  // Later subscriptions have no credentials, until the next sign-in.
  const subscribe = () =>
    new Promise((resolve) => {
      const sink = { next: resolve, error: resolve, complete: resolve };
      sockets.subscribe({ query: "subscription { noteAdded }" }, sink);
    });
  expect((await subscribe())[0].extensions.reason).toBe("MISSING");
  await session.signIn({ username: other, password: PASSWORD });
  const heard = subscribe();
  const add = () => ask(session, 'mutation { addNote(text: "again") }');
  await vi.waitFor(async () => {
    await add();
    expect(await Promise.race([heard, undefined])).toEqual({ data: { noteAdded: "again" } });
  }, { timeout: 10_000 });
});

test("graphql-ws: a sign-out without a socket has no effect on later subscriptions", async () => {
  const { session, log, sockets, stop } = await listening();
  stop();
  await vi.waitFor(() => expect(log.closed).toEqual([1000]));
  await session.signOut();
  const later = new Promise((resolve) => {
    const sink = { next: resolve, error: resolve, complete: resolve };
    sockets.subscribe({ query: "subscription { noteAdded }" }, sink);
  });
  expect((await later)[0].extensions.reason).toBe("MISSING");
});

test("graphql-ws: a sign-out after the last subscription was stopped has no effect on later subscriptions", async () => {
  const { session, log, sockets, stop, lose } = await listening();
  lose();
  await vi.waitFor(() => expect(log.closed).toEqual([1006]));
  stop();
  // The socket is not opened again after the pause.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await session.signOut();
  const later = sockets.iterate({ query: "subscription { noteAdded }" });
  await expect(later.next()).rejects.toMatchObject([{ extensions: { reason: "MISSING" } }]);
});

test("graphql-ws: a sign-out while a socket is opened again ends its subscriptions", async () => {
  const { session, log, lose } = await listening();
  lose();
  await vi.waitFor(() => expect(log.closed).toEqual([1006]));
  await session.signOut();
  await ended(log);
  expect(log.error.code).toBe(4499);
  expect(log.opened).toBe(1);
});

test("graphql-ws: a sign-out while the first socket is opened ends its subscriptions", async () => {
  for (const isFollowed of [false, true]) {
    const { session } = await signedIn();
    const other = await register();
    let open;
    const opening = new Promise((resolve) => (open = resolve));
    const sockets = createClient({
      url: () => opening,
      webSocketImpl: WebSocket,
      ...socketOptions(session),
    });
    const log = { notes: [] };
    const sink = { next: (note) => log.notes.push(note), error: (error) => (log.error = error), complete() {} };
    sockets.subscribe({ query: "subscription { noteAdded }" }, sink);
    await session.signOut();
    if (isFollowed) await session.signIn({ username: other, password: PASSWORD });
    open(URL_GRAPHQL.replace("http", "ws"));
    await ended(log);
    expect([log.error.code, log.notes]).toEqual([4499, []]);
    // The next subscription belongs to the current user.
    const next = sockets.iterate({ query: "subscription { noteAdded }" });
    if (!isFollowed) {
      await expect(next.next()).rejects.toMatchObject([{ extensions: { reason: "MISSING" } }]);
      continue;
    }
    const heard = next.next();
    await vi.waitFor(async () => {
      await ask(session, 'mutation { addNote(text: "next") }');
      expect((await Promise.race([heard, undefined]))?.value.data.noteAdded).toBe("next");
    }, { timeout: 10_000 });
    await sockets.dispose();
  }
});

test("graphql-ws: an open socket renews the token", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date"] });
  const { net, sockets } = await listening();
  await vi.advanceTimersByTimeAsync(1_770_000);
  expect(net.count("renewToken")).toBe(0);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(net.count("renewToken")).toBe(1);
  await sockets.dispose();
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
});

test("graphql-ws: a server that cannot be reached is tried again", async () => {
  const { session } = await signedIn();
  const failures = [];
  const sockets = createClient({
    url: "ws://127.0.0.1:1/graphql",
    webSocketImpl: WebSocket,
    ...socketOptions(session),
  });
  sockets.on("connecting", () => failures.push("again"));
  const stop = sockets.subscribe({ query: "subscription { noteAdded }" }, { next() {}, error: (error) => failures.push(error), complete() {} });
  await vi.waitFor(() => expect(failures).toEqual(["again", "again"]), { timeout: 10_000 });
  stop();
});

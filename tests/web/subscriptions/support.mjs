// Helpers of the suites. SYMBOLON_URL is the address of the server.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

export const { SYMBOLON_URL } = process.env;
assert(SYMBOLON_URL, "SYMBOLON_URL is not set");
export const PASSWORD = "correct horse battery staple";

export async function graphql(query, variables, authorization) {
  const response = await fetch(`${SYMBOLON_URL}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(authorization && { authorization }) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(10_000),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined);
  return data;
}

export const bearer = (token) => `Bearer ${token}`;
const basic = (name) => `Basic ${Buffer.from(`${name}:${PASSWORD}`).toString("base64")}`;

export async function register() {
  const username = `user-${randomUUID()}`;
  const created = await graphql(
    `mutation ($input: CreateUserInput!) {
      createUser(input: $input) { user { id } userErrors { code } }
    }`,
    { input: { username, password: PASSWORD } },
  );
  return { username, id: created.createUser.user.id };
}

export async function signIn(username) {
  const { createToken } = await graphql("mutation { createToken { token } }", {}, basic(username));
  return createToken.token;
}

/** Waits for a promise, at most ten seconds. */
function later(what) {
  let resolve;
  const promise = new Promise((first) => (resolve = first));
  const timer = setTimeout(() => resolve(new Error(`not in time: ${what}`)), 10_000);
  return {
    resolve,
    async value() {
      const value = await promise;
      clearTimeout(timer);
      if (value instanceof Error) throw value;
      return value;
    },
  };
}

/** Returns a client that gets its token at each connection, and the record of its events. */
export function client(token) {
  const log = { opened: 0, closed: [], waiting: [] };
  const inner = createClient({
    url: `${SYMBOLON_URL.replace("http", "ws")}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: async () => {
      const authorization = await token();
      return authorization && { authorization: bearer(authorization) };
    },
    retryAttempts: 3,
    retryWait: async () => {},
    on: {
      connected: () => (log.opened += 1),
      closed: (event) => {
        const closed = { code: event.code, reason: event.reason, at: performance.now() };
        log.closed.push(closed);
        log.waiting.splice(0).forEach((waiting) => waiting.resolve(closed));
      },
    },
  });
  const closed = () => {
    const waiting = later("a closed socket");
    log.waiting.push(waiting);
    return waiting.value();
  };
  return { inner, log, closed };
}

/** Yields the events of a subscription, and ends with the reason for its end. */
export function subscribe({ inner }, query) {
  const events = [];
  const wanted = [];
  const push = (event) => (wanted.length ? wanted.shift().resolve(event) : events.push(event));
  inner.subscribe(
    { query },
    {
      next: (value) => push({ value }),
      error: (error) => push({ error }),
      complete: () => push({ complete: true }),
    },
  );
  return async () => {
    if (events.length) return events.shift();
    const next = later("an event");
    wanted.push(next);
    return next.value();
  };
}

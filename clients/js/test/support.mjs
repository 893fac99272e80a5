// Helpers of the suites. SYMBOLON_URL is the address of examples/embed.rs.

import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";

import { createSession } from "@symbolon/client";
import { expect, vi } from "vitest";

const { SYMBOLON_URL, SYMBOLON_PROGRAM, SYMBOLON_FOLDER } = process.env;
const { DATABASE_URL, SYMBOLON_SECRET_KEY_FILE } = process.env;
// The database of the server, unless it is in the folder.
const env = DATABASE_URL ? { DATABASE_URL, SYMBOLON_SECRET_KEY_FILE } : {};
if (!SYMBOLON_URL) throw new Error("SYMBOLON_URL is not set");
export const URL_GRAPHQL = `${SYMBOLON_URL}/graphql`;
// Beyond Latin-1, and with the colon that ends a username.
export const PASSWORD = "correct: hörse báttery ☃";
export const NEW_PASSWORD = "another good pässword";
export const ME = "query Me { me { username } }";

/** Runs a command of the operator. */
export const symbolon = (...args) =>
  execFileSync(SYMBOLON_PROGRAM, args, { cwd: SYMBOLON_FOLDER, env, encoding: "utf8" });

/** Returns the options of a request. */
export const operation = (query, variables) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query, variables }),
});

/** Sends an operation without the client. */
export async function plain(token, query, variables) {
  const options = operation(query, variables);
  if (token) options.headers.authorization = `Bearer ${token}`;
  return (await fetch(URL_GRAPHQL, options)).json();
}

/** Returns the reason for which the server refuses a token. */
export const refusal = async (token) => (await plain(token, ME)).errors?.[0].extensions.reason;

/** Returns what the session is told. */
export const ask = async (session, query = ME, variables) =>
  (await session.fetch(URL_GRAPHQL, operation(query, variables))).json();

/**
 * A `fetch` that records operations. `hold(name)` makes the next operation that contains `name` wait after it was
 * answered by the server: `answered` resolves, and `release` lets the client have the answer.
 */
export function network() {
  const sent = [];
  const holds = [];
  let down = () => false;
  const custom = async (url, options) => {
    const text = options?.body ?? decodeURIComponent(url).replaceAll("+", " ");
    sent.push(text);
    if (down(text)) throw new TypeError("fetch failed");
    const index = holds.findIndex(({ name }) => text.includes(name));
    const [held] = index < 0 ? [] : holds.splice(index, 1);
    const response = await fetch(url, options);
    held?.answer();
    await held?.released;
    return response;
  };
  return {
    fetch: custom,
    count: (name) => sent.filter((text) => text.includes(name)).length,
    /** Operations that contain one of the names fail. */
    fail: (...names) => (down = (text) => names.some((name) => text.includes(name))),
    hold(name) {
      const [answered, released] = [later(), later()];
      holds.push({ name, answer: answered.resolve, released: released.promise });
      return { answered: answered.promise, release: released.resolve };
    },
  };
}

function later() {
  let resolve;
  const promise = new Promise((first) => (resolve = first));
  return { promise, resolve };
}

/** Registers a user. */
export async function register() {
  const username = `user-${randomUUID()}`;
  const session = createSession({ url: URL_GRAPHQL });
  const { userErrors } = await session.register({ username, password: PASSWORD });
  expect(userErrors).toEqual([]);
  return username;
}

/** Returns a session that is signed in on a device, with its network and the reasons for its ends. */
export async function signedIn(options) {
  const username = await register();
  const net = network();
  const session = createSession({ url: URL_GRAPHQL, fetch: net.fetch, ...options });
  const ends = [];
  session.onSignedOut((reason) => ends.push(reason));
  const user = await session.signIn({ username, password: PASSWORD, device: "test" });
  const token = await session.token();
  return { username, user, session, net, ends, token };
}

/** Replaces the clock of the client, not its timers. */
export function stopClock() {
  vi.useFakeTimers({ toFake: ["Date"] });
  return (seconds) => vi.setSystemTime(Date.now() + seconds * 1000);
}

/** A `sessionStorage`. */
export function tabStorage(entries = {}) {
  const map = new Map(Object.entries(entries));
  return {
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
    entries: () => Object.fromEntries(map),
  };
}

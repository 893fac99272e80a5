// graphql-ws, the client of the protocol, against examples/embed.rs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { bearer, client, graphql, PASSWORD, register, signIn, subscribe } from "./support.mjs";

const { SYMBOLON_PROGRAM, SYMBOLON_FOLDER, DATABASE_URL, SYMBOLON_SECRET_KEY_FILE } = process.env;
// The database of the server, unless it is in the folder.
const env = DATABASE_URL ? { DATABASE_URL, SYMBOLON_SECRET_KEY_FILE } : {};
const NOTE_ADDED = "subscription { noteAdded }";
/** The promise is 250 ms on an idle machine. */
const LAG = 2_000;

/** Runs a command of the operator. */
const symbolon = (...args) =>
  execFileSync(SYMBOLON_PROGRAM, args, { cwd: SYMBOLON_FOLDER, env, encoding: "utf8" });

const addNote = (token, text) =>
  graphql("mutation ($text: String!) { addNote(text: $text) }", { text }, bearer(token));

/**
 * Adds notes until one arrives, because the subscription starts after some time. The notes of earlier attempts can
 * follow.
 */
async function untilHeard(next, token, text) {
  const heard = next();
  let done = false;
  heard.finally(() => (done = true));
  while (!done) {
    await addNote(token, text);
  }
  const event = await heard;
  assert.equal(event.value?.data?.noteAdded, text, JSON.stringify(event));
}

async function listening() {
  const user = await register();
  const token = await signIn(user.username);
  const frontend = client(() => token);
  const next = subscribe(frontend, NOTE_ADDED);
  await untilHeard(next, token, "first");
  return { ...user, token, frontend, next };
}

/** Returns the remaining notes and the reason for the end of the subscription. */
async function ending(next) {
  for (;;) {
    const event = await next();
    if (!event.value) return event;
  }
}

test("a subscription hears of its own user's notes", async () => {
  const ada = await listening();
  const bob = await listening();
  await addNote(bob.token, "of bob");
  await addNote(ada.token, "of ada");
  const texts = [];
  while (!texts.includes("of ada")) {
    texts.push((await ada.next()).value.data.noteAdded);
  }
  assert(!texts.includes("of bob"));
  await Promise.all([ada, bob].map(({ frontend }) => frontend.inner.dispose()));
});

test("nobody is told who they are not", async () => {
  const frontend = client(() => undefined);
  const next = subscribe(frontend, NOTE_ADDED);
  const { error } = await next();
  const { code, reason } = error[0].extensions;
  assert.deepEqual([code, reason], ["UNAUTHENTICATED", "MISSING"]);
  await frontend.inner.dispose();
});

test("queries and mutations are refused on the socket", async () => {
  const user = await register();
  const token = await signIn(user.username);
  const frontend = client(() => token);
  for (const query of ["{ notes }", 'mutation { addNote(text: "one") }']) {
    const next = subscribe(frontend, query);
    const { error } = await next();
    assert.equal(error[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
  }
  const { notes } = await graphql("{ notes }", {}, bearer(token));
  assert.deepEqual(notes, []);
  await frontend.inner.dispose();
});

const admin = await register();
symbolon("user", "set-role", admin.username, "admin");
const adminToken = await signIn(admin.username);

const ends = {
  revokeToken: ({ token }) => graphql("mutation { revokeToken }", {}, bearer(token)),
  changePassword: ({ token }) =>
    graphql(
      `mutation ($input: ChangePasswordInput!) {
        changePassword(input: $input) { userErrors { code } }
      }`,
      { input: { currentPassword: PASSWORD, newPassword: "another one, and long" } },
      bearer(token),
    ),
  disableUser: ({ id }) =>
    graphql(
      "mutation ($id: ID!) { disableUser(id: $id) { user { id } } }",
      { id },
      bearer(adminToken),
    ),
  "symbolon token revoke": ({ username }) => symbolon("token", "revoke", username),
  "symbolon user disable": ({ username }) => symbolon("user", "disable", username),
};

for (const [what, end] of Object.entries(ends)) {
  test(`${what} closes the socket, and the client stops`, async () => {
    const user = await listening();
    const closing = user.frontend.closed();
    await end(user);
    const acknowledged = performance.now();
    const closed = await closing;
    assert.equal(closed.code, 4401);
    assert.match(closed.reason, /^The token .*\.$/);
    const lag = Math.max(0, closed.at - acknowledged);
    console.log(`${what}: closed ${lag.toFixed(1)} ms after the acknowledgement`);
    assert(lag < LAG, `${lag} ms`);
    const { error } = await ending(user.next);
    assert.equal(error.code, 4401);
    assert.equal(user.frontend.log.opened, 1);
  });
}

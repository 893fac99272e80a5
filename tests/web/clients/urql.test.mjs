// The core of urql with its authentication exchange.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, fetchExchange } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";

import {
  basic,
  CREATE_TOKEN,
  CREATE_USER,
  endElsewhere,
  ME,
  newName,
  PASSWORD,
  register,
  REVOKE_TOKEN,
  URL_GRAPHQL,
} from "./support.mjs";

/** Returns a client that signs in when necessary, and the number of its sign-ins. */
function frontend(username, password = PASSWORD) {
  const session = { token: undefined, signIns: 0 };
  const auth = authExchange(async (utils) => ({
    addAuthToOperation: (operation) =>
      session.token
        ? utils.appendHeaders(operation, { authorization: `Bearer ${session.token}` })
        : operation,
    didAuthError: (error) =>
      error.graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED"),
    async refreshAuth() {
      session.signIns += 1;
      // The refused token would replace the password.
      session.token = undefined;
      const headers = { authorization: basic(username, password) };
      const { data } = await utils.mutate(CREATE_TOKEN, {}, { fetchOptions: { headers } });
      session.token = data?.createToken.token;
    },
  }));
  const client = createClient({ url: URL_GRAPHQL, exchanges: [auth, fetchExchange] });
  return { client, session };
}

const codes = ({ error }) =>
  error?.graphQLErrors.map(({ extensions }) => [extensions.code, extensions.reason]);

test("register, sign in, ask, sign in again, sign out", async () => {
  const username = newName();
  const { client, session } = frontend(username);
  const input = { username, password: PASSWORD };
  const created = await client.mutation(CREATE_USER, { input });
  assert.equal(created.data.createUser.user.username, username);
  // No user is signed in yet: the exchange signs in.
  const me = await client.query(ME, {});
  assert.equal(me.data.me.username, username);
  assert.equal(session.signIns, 1);
  const { token } = session;
  const again = frontend(username);
  await again.client.query(ME, {});
  assert.equal(again.session.token, token);
  const revoked = await client.mutation(REVOKE_TOKEN, {});
  assert.equal(revoked.data.revokeToken, true);
  const refused = await frontend(username, "wrong").client.query(ME, {});
  assert.deepEqual(codes(refused), [["UNAUTHENTICATED", "MISSING"]]);
});

test("a session that another device ends is signed in to again, once", async () => {
  const username = await register();
  const { client, session } = frontend(username);
  await client.query(ME, {});
  await endElsewhere(username);
  const before = session.token;
  const me = await client.query(ME, {});
  assert.equal(me.data.me.username, username);
  assert.equal(session.signIns, 2);
  assert.notEqual(session.token, before);
});

test("operations that are refused together all come through", async () => {
  const username = await register();
  const { client } = frontend(username);
  await client.query(ME, {});
  await endElsewhere(username);
  const answers = await Promise.all([
    client.query(ME, {}),
    client.query("query Role { me { role } }", {}),
    client.query("query Own($name: String!) { user(username: $name) { id } }", {
      name: username,
    }),
  ]);
  for (const { error } of answers) assert.equal(error, undefined);
});

test("a wrong password is tried once", async () => {
  const { client, session } = frontend(await register(), "wrong");
  const answer = await client.query(ME, {});
  assert.deepEqual(codes(answer), [["UNAUTHENTICATED", "MISSING"]]);
  assert.equal(session.signIns, 1);
});

test("an operation that is refused whole tells its code", async () => {
  const { client } = frontend(await register());
  assert.deepEqual(codes(await client.query("{ nonsense }", {})), [
    ["GRAPHQL_VALIDATION_FAILED", undefined],
  ]);
  assert.deepEqual(codes(await client.query("query ($id: ID!) { user(id: $id) { id } }", {})), [
    ["BAD_USER_INPUT", undefined],
  ]);
});

test("queries by GET", async () => {
  const username = await register();
  const { client } = frontend(username);
  const { data } = await client.query(ME, {}, { preferGetMethod: "force" });
  assert.equal(data.me.username, username);
});

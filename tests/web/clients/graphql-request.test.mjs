// graphql-request, which leaves a new sign-in to the application.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientError, GraphQLClient } from "graphql-request";

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

/** Returns a client whose requests have the credentials that are current when they are sent. */
function frontend() {
  const session = {};
  const headers = () => ({ authorization: `Bearer ${session.token}` });
  const client = new GraphQLClient(URL_GRAPHQL, { headers });
  return { client, session };
}

async function signIn({ client, session }, username, password) {
  const authorization = basic(username, password);
  const { createToken } = await client.request(CREATE_TOKEN, {}, { authorization });
  session.token = createToken.token;
  return session.token;
}

async function refused(request, status, code, reason) {
  await assert.rejects(request, (error) => {
    assert(error instanceof ClientError, error);
    const { extensions } = error.response.errors[0];
    assert.deepEqual(
      [error.response.status, extensions.code, extensions.reason],
      [status, code, reason],
    );
    return true;
  });
}

test("register, sign in, ask, sign in again, sign out", async () => {
  const own = frontend();
  const username = newName();
  const input = { username, password: PASSWORD };
  const { createUser } = await own.client.request(CREATE_USER, { input });
  assert.equal(createUser.user.username, username);
  // A frontend without a token sends `Bearer undefined`.
  await refused(own.client.request(ME), 200, "UNAUTHENTICATED", "MISSING");
  const token = await signIn(own, username);
  assert.equal((await own.client.request(ME)).me.username, username);
  assert.equal(await signIn(own, username), token);
  assert.equal((await own.client.request(REVOKE_TOKEN)).revokeToken, true);
  await refused(own.client.request(ME), 200, "UNAUTHENTICATED", "TOKEN_EXPIRED");
});

test("a session that another device ends can be signed in to again", async () => {
  const own = frontend();
  const username = await register();
  const before = await signIn(own, username);
  await endElsewhere(username);
  await refused(own.client.request(ME), 200, "UNAUTHENTICATED", "TOKEN_EXPIRED");
  assert.notEqual(await signIn(own, username), before);
  assert.equal((await own.client.request(ME)).me.username, username);
  own.session.token = before;
  await refused(own.client.request(ME), 200, "UNAUTHENTICATED", "TOKEN_INVALID");
});

test("every refusal has its code", async () => {
  const own = frontend();
  const username = await register();
  const wrong = signIn(own, username, "wrong");
  await refused(wrong, 200, "UNAUTHENTICATED", "INVALID_CREDENTIALS");
  await signIn(own, username);
  const by = (document, variables) => own.client.request(document, variables);
  const large = { input: { username: "x".repeat(70_000), password: PASSWORD } };
  const aliases = Array.from({ length: 2001 }, (_, n) => `u${n}: id`);
  await refused(by("{ nonsense }"), 400, "GRAPHQL_VALIDATION_FAILED");
  await refused(by("query ($id: ID!) { user(id: $id) { id } }"), 400, "BAD_USER_INPUT");
  await refused(by("{ user { id } }"), 200, "BAD_USER_INPUT");
  await refused(by(`{ me { ${aliases.join(" ")} } }`), 400, "LIMIT_EXCEEDED");
  await refused(by(CREATE_USER, large), 413, "PAYLOAD_TOO_LARGE");
});

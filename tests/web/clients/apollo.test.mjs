// Apollo Client 4 without a browser and without the package @symbolon/client.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ApolloClient,
  CombinedGraphQLErrors,
  gql,
  HttpLink,
  InMemoryCache,
  ServerError,
} from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { parse } from "graphql";

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

/** Returns a client with a link that adds the token of its session, as the README describes it for pages without the package. */
function page() {
  const session = {};
  const auth = new SetContextLink(({ headers }) => ({
    headers: session.token ? { authorization: `Bearer ${session.token}`, ...headers } : headers,
  }));
  const http = new HttpLink({ uri: URL_GRAPHQL });
  return { session, client: new ApolloClient({ link: auth.concat(http), cache: new InMemoryCache() }) };
}

const query = (client, document, rest) =>
  client.query({ query: gql(document), fetchPolicy: "no-cache", ...rest });
const mutate = (client, document, rest) =>
  client.mutate({ mutation: gql(document), fetchPolicy: "no-cache", ...rest });
const as = (authorization) => ({ context: { headers: { authorization } } });

async function signIn({ client, session }, username) {
  const { data } = await mutate(client, CREATE_TOKEN, as(basic(username)));
  session.token = data.createToken.token;
  return session.token;
}

async function signedIn() {
  const own = page();
  const username = await register();
  await signIn(own, username);
  return { ...own, username };
}

/** Asserts that the operation fails with one GraphQL error of this code and reason. */
async function refused(operation, code, reason) {
  await assert.rejects(operation, (error) => {
    assert(CombinedGraphQLErrors.is(error), error);
    assert.equal(error.errors.length, 1);
    const { extensions } = error.errors[0];
    assert.deepEqual([extensions.code, extensions.reason], [code, reason]);
    return true;
  });
}

test("register, sign in, ask, sign in again, sign out", async () => {
  const own = page();
  const username = newName();
  const input = { username, password: PASSWORD };
  const created = await mutate(own.client, CREATE_USER, { variables: { input } });
  assert.equal(created.data.createUser.user.username, username);
  const token = await signIn(own, username);
  const { data } = await query(own.client, ME);
  assert.equal(data.me.username, username);
  // The own credentials of the operation take precedence over the Bearer token.
  assert.equal(await signIn(own, username), token);
  const revoked = await mutate(own.client, REVOKE_TOKEN);
  assert.equal(revoked.data.revokeToken, true);
  await refused(query(own.client, ME), "UNAUTHENTICATED", "TOKEN_EXPIRED");
});

test("nobody is signed in", async () => {
  const { client } = page();
  await refused(query(client, ME), "UNAUTHENTICATED", "MISSING");
});

test("a wrong password", async () => {
  const { client, username } = await signedIn();
  const wrong = mutate(client, CREATE_TOKEN, as(basic(username, "wrong")));
  await refused(wrong, "UNAUTHENTICATED", "INVALID_CREDENTIALS");
  const unknown = mutate(client, CREATE_TOKEN, as(basic(newName())));
  await refused(unknown, "UNAUTHENTICATED", "INVALID_CREDENTIALS");
});

test("a token that never was", async () => {
  const { client, session } = page();
  session.token = "A".repeat(32);
  await refused(query(client, ME), "UNAUTHENTICATED", "TOKEN_INVALID");
});

test("a session that another device ends", async () => {
  const own = await signedIn();
  await endElsewhere(own.username);
  await refused(query(own.client, ME), "UNAUTHENTICATED", "TOKEN_EXPIRED");
  await signIn(own, own.username);
  const { data } = await query(own.client, ME);
  assert.equal(data.me.username, own.username);
});

test("a variable that is missing or of another type", async () => {
  const { client } = await signedIn();
  const user = "query ($id: ID!) { user(id: $id) { id } }";
  await refused(query(client, user), "BAD_USER_INPUT");
  await refused(query(client, user, { variables: { id: [[]] } }), "BAD_USER_INPUT");
});

test("arguments that make no sense to the resolver", async () => {
  const { client } = await signedIn();
  const both = '{ user(id: "1", username: "ada") { id } }';
  await refused(query(client, both), "BAD_USER_INPUT");
});

test("with the policy all, the rest of the data comes beside the error", async () => {
  const { client, username } = await signedIn();
  const { data, error } = await query(client, "{ me { username } user { id } }", {
    errorPolicy: "all",
  });
  assert.deepEqual([data.me.username, data.user], [username, null]);
  assert(CombinedGraphQLErrors.is(error));
  assert.equal(error.errors[0].extensions.code, "BAD_USER_INPUT");
});

test("a document that is not GraphQL", async () => {
  const { client } = page();
  // Apollo parses documents itself, so the document is broken afterwards.
  const broken = parse("{ me { id } }");
  broken.definitions[0].selectionSet.selections[0].name.value = "me(";
  const operation = client.query({ query: broken, fetchPolicy: "no-cache" });
  await refused(operation, "GRAPHQL_PARSE_FAILED");
});

test("a document for another schema", async () => {
  const { client } = page();
  await refused(query(client, "{ nonsense }"), "GRAPHQL_VALIDATION_FAILED");
});

test("more than one request may ask for", async () => {
  const { client } = page();
  const aliases = Array.from({ length: 2001 }, (_, n) => `u${n}: id`);
  const many = query(client, `{ me { ${aliases.join(" ")} } }`);
  await refused(many, "LIMIT_EXCEEDED");
});

test("a body that is too large", async () => {
  const { client } = page();
  const variables = { input: { username: "x".repeat(70_000), password: PASSWORD } };
  await refused(mutate(client, CREATE_USER, { variables }), "PAYLOAD_TOO_LARGE");
});

test("a client that asks for plain JSON is told by the status", async () => {
  const { client } = page();
  const context = { headers: { accept: "application/json" } };
  const variables = { input: { username: "x".repeat(70_000), password: PASSWORD } };
  await assert.rejects(mutate(client, CREATE_USER, { variables, context }), (error) => {
    assert(ServerError.is(error), error);
    assert.equal(error.statusCode, 413);
    assert.equal(JSON.parse(error.bodyText).errors[0].extensions.code, "PAYLOAD_TOO_LARGE");
    return true;
  });
  // GraphQL over HTTP requires the status 200 for these errors under application/json.
  const nonsense = query(client, "{ nonsense }", { context });
  await refused(nonsense, "GRAPHQL_VALIDATION_FAILED");
  await refused(query(client, ME, { context }), "UNAUTHENTICATED", "MISSING");
});

test("what a form would show is no error", async () => {
  const { client } = page();
  const username = await register();
  const wrong = async (input) => {
    const { data } = await mutate(client, CREATE_USER, { variables: { input } });
    assert.equal(data.createUser.user, null);
    return data.createUser.userErrors.map(({ code, field }) => `${field} ${code}`);
  };
  assert.deepEqual(await wrong({ username, password: PASSWORD }), ["username TAKEN"]);
  assert.deepEqual(await wrong({ username: newName(), password: "short" }), [
    "password TOO_SHORT",
  ]);
});

test("what takes another role", async () => {
  const { client } = await signedIn();
  const disable = 'mutation { disableUser(id: "1") { user { id } } }';
  await refused(mutate(client, disable), "FORBIDDEN", "ROLE_REQUIRED");
});

test("too many wrong passwords, while whoever is signed in goes on", async () => {
  const own = await signedIn();
  const guess = () => mutate(own.client, CREATE_TOKEN, as(basic(own.username, "wrong")));
  for (let guesses = 0; guesses < 20; guesses += 1) {
    await refused(guess(), "UNAUTHENTICATED", "INVALID_CREDENTIALS");
  }
  await assert.rejects(guess(), (error) => {
    assert(CombinedGraphQLErrors.is(error), error);
    const { code, retryAfter } = error.errors[0].extensions;
    assert.equal(code, "RATE_LIMITED");
    assert(retryAfter > 0 && retryAfter <= 45);
    return true;
  });
  const { data } = await query(own.client, ME);
  assert.equal(data.me.username, own.username);
});

test("a change of the password goes on with the token that it answers with", async () => {
  const own = await signedIn();
  const change = `mutation ($input: ChangePasswordInput!) {
    changePassword(input: $input) { token { token } userErrors { code field } } }`;
  const variables = (currentPassword) => ({
    input: { currentPassword, newPassword: "another good password" },
  });
  const wrong = await mutate(own.client, change, { variables: variables("wrong") });
  assert.deepEqual(wrong.data.changePassword.userErrors[0], {
    __typename: "UserError",
    code: "WRONG_PASSWORD",
    field: "currentPassword",
  });
  // A request verifies one password, so the next request can try again.
  const right = await mutate(own.client, change, { variables: variables(PASSWORD) });
  await refused(query(own.client, ME), "UNAUTHENTICATED", "TOKEN_INVALID");
  own.session.token = right.data.changePassword.token.token;
  const { data } = await query(own.client, ME);
  assert.equal(data.me.username, own.username);
});

// Helpers of the client suites. SYMBOLON_URL is the address of the server.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

assert(process.env.SYMBOLON_URL, "SYMBOLON_URL is not set");
export const URL_GRAPHQL = `${process.env.SYMBOLON_URL}/graphql`;
// Beyond Latin-1, and with the colon that ends a username.
export const PASSWORD = "correct: hörse báttery ☃";

export const CREATE_USER = `
  mutation CreateUser($input: CreateUserInput!) {
    createUser(input: $input) { user { id username } userErrors { code field message } }
  }`;
export const CREATE_TOKEN = "mutation CreateToken { createToken { token } }";
export const REVOKE_TOKEN = "mutation RevokeToken { revokeToken }";
export const ME = "query Me { me { id username } }";

export function basic(username, password = PASSWORD) {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Returns an unused username. */
export const newName = () => `user-${randomUUID()}`;

/** Sends a request without a client library. */
export async function plain(query, { variables, authorization } = {}) {
  const response = await fetch(URL_GRAPHQL, {
    method: "POST",
    headers: { "content-type": "application/json", ...(authorization && { authorization }) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(10_000),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined);
  return data;
}

/** Registers a user and returns its name. */
export async function register() {
  const username = newName();
  const variables = { input: { username, password: PASSWORD } };
  const { createUser } = await plain(CREATE_USER, { variables });
  assert.deepEqual(createUser.userErrors, []);
  return username;
}

/** Revokes the session of the user from another device, which shares the token. */
export async function endElsewhere(username) {
  const { createToken } = await plain(CREATE_TOKEN, { authorization: basic(username) });
  const { revokeToken } = await plain(REVOKE_TOKEN, {
    authorization: `Bearer ${createToken.token}`,
  });
  assert.equal(revokeToken, true);
}

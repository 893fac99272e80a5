// graphql-ws against an app whose clock POST /later advances by two hours.

import assert from "node:assert/strict";
import { test } from "node:test";

import { client, register, signIn, subscribe, SYMBOLON_URL } from "./support.mjs";

test("an expired token closes the socket, and the client goes on with a new one", async () => {
  const { username } = await register();
  const tokens = [];
  const frontend = client(async () => {
    const token = await signIn(username);
    tokens.push(token);
    return token;
  });
  const next = subscribe(frontend, "subscription { mine }");
  const mine = async () => assert.equal((await next()).value.data.mine, username);
  await mine();
  for (let round = 1; round <= 2; round += 1) {
    const closing = frontend.closed();
    await fetch(`${SYMBOLON_URL}/later`, { method: "POST" });
    const moved = performance.now();
    const closed = await closing;
    console.log(`closed ${(closed.at - moved).toFixed(1)} ms after the token expired`);
    assert.equal(closed.code, 4403);
    assert.match(closed.reason, /expired/);
    await mine();
    assert.equal(frontend.log.opened, round + 1);
  }
  assert.equal(new Set(tokens).size, 3);
  await frontend.inner.dispose();
});

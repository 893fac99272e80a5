// examples/apollo in Chromium, against a new server at SYMBOLON_URL that allows requests of ORIGIN: a free port of this
// machine, at which the frontend is served.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";

const { SYMBOLON_URL, ORIGIN } = process.env;
assert(SYMBOLON_URL && ORIGIN, "SYMBOLON_URL and ORIGIN are not set");
const API = `${SYMBOLON_URL}/graphql`;
const EXAMPLE = fileURLToPath(new URL("../../../examples/apollo", import.meta.url));
// Beyond Latin-1, and with the colon that ends a username.
const PASSWORD = "correct: hörse báttery ☃";
const NAME = `ada-${randomUUID()}`;
const USERS = 25;

async function api(query, { variables, authorization } = {}) {
  const response = await fetch(API, {
    method: "POST",
    headers: { "content-type": "application/json", ...(authorization && { authorization }) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(10_000),
  });
  return response.json();
}

async function register(username) {
  const query = `mutation ($input: CreateUserInput!) {
    createUser(input: $input) { userErrors { code } }
  }`;
  const { data } = await api(query, { variables: { input: { username, password: PASSWORD } } });
  assert.deepEqual(data.createUser.userErrors, []);
}

/** Returns the session token of the page, which every sign-in of the user returns. */
async function currentToken() {
  const authorization = `Basic ${Buffer.from(`${NAME}:${PASSWORD}`).toString("base64")}`;
  const { data } = await api("mutation { createToken { token } }", { authorization });
  return data.createToken.token;
}

/** Revokes the session of the page from another client. */
async function revoke() {
  const authorization = `Bearer ${await currentToken()}`;
  const { data } = await api("mutation { revokeToken }", { authorization });
  assert.equal(data.revokeToken, true);
}

async function eventually(what, holds) {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    assert(Date.now() < deadline, `not in time: ${what}`);
    await sleep(20);
  }
}

let built, frontend, browser, page, asked, refusals, complaints;

before(async () => {
  built = mkdtempSync(join(tmpdir(), "symbolon-apollo-"));
  const run = (args, env) =>
    execFileSync("npm", args, { cwd: EXAMPLE, env: { ...process.env, ...env }, stdio: "inherit" });
  if (!existsSync(join(EXAMPLE, "node_modules"))) run(["ci"]);
  run(["run", "build", "--", "--outDir", built, "--emptyOutDir"], { VITE_API: API });
  const vite = join(EXAMPLE, "node_modules/vite/bin/vite.js");
  const port = new URL(ORIGIN).port;
  frontend = spawn(process.execPath, [vite, "preview", "--outDir", built, "--port", port], {
    cwd: EXAMPLE,
    stdio: "inherit",
  });
  await eventually("the frontend is served", () =>
    fetch(ORIGIN).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  await register(NAME);
  for (let n = 1; n < USERS; n += 1) await register(`user-${randomUUID()}`);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  frontend?.kill();
  if (built) rmSync(built, { recursive: true });
});

const operation = (request) =>
  request.method() === "POST" && request.url() === API ? request.postDataJSON().operationName : "";
const count = (name) => asked.filter((each) => each === name).length;

beforeEach(async () => {
  page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  [asked, refusals, complaints] = [[], [], []];
  page.on("request", (request) => asked.push(operation(request)));
  page.on("response", async (response) => {
    if (!operation(response.request())) return;
    // The last responses can arrive while the page is closed.
    const { errors } = await response.json().catch(() => ({}));
    if (errors) refusals.push([operation(response.request()), errors[0].extensions.reason]);
  });
  page.on("pageerror", (error) => complaints.push(error));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(ORIGIN);
});

afterEach(async () => {
  const kept = await page.evaluate(async () => [
    ...Object.entries(localStorage),
    ...Object.entries(sessionStorage),
    ...(await indexedDB.databases()),
    ...(await caches.keys()),
    document.cookie,
    location.search,
    location.hash,
  ]);
  assert.deepEqual(kept, ["", "", ""]);
  assert.deepEqual(complaints, []);
  await page.close();
});

const button = (name) => page.getByRole("button", { name });
const alert = () => page.getByRole("alert");

async function signIn(password = PASSWORD) {
  await page.getByLabel("Username").fill(NAME);
  await page.getByLabel("Password").fill(password);
  await button("Sign in").click();
}

async function seesAllIsWell() {
  await page.getByRole("heading", { name: `Hello, ${NAME}` }).waitFor();
  await page.getByText(`20 of ${USERS}`).waitFor();
  assert.equal(await page.getByRole("listitem").count(), 20);
  assert.equal(await alert().count(), 0);
}

test("sign in, see oneself and the users page by page", async () => {
  await signIn();
  await seesAllIsWell();
  assert.equal(count("CreateToken"), 1);
  await button("Show more").click();
  await page.getByText(`${USERS} of ${USERS}`).waitFor();
  assert.equal(await page.getByRole("listitem").count(), USERS);
  const names = await page.getByRole("listitem").locator("span").allTextContents();
  assert.equal(new Set(names).size, USERS);
  assert.equal(await button("Show more").count(), 0);
  assert.deepEqual(refusals, []);
});

test("a wrong password is told in words, and tried once", async () => {
  await signIn("wrong");
  await alert().getByText("The username or password is wrong.").waitFor();
  await sleep(500);
  assert.deepEqual(asked.filter(Boolean), ["CreateToken"]);
  await signIn();
  await seesAllIsWell();
});

test("what is refused together is asked again after one sign-in", async () => {
  await signIn();
  await seesAllIsWell();
  await revoke();
  // The sign-in starts after both queries are refused.
  await page.route(API, async (route) => {
    if (operation(route.request()) === "CreateToken") {
      await eventually("both are refused", () => refusals.length === 2);
    }
    await route.continue();
  });
  await button("Refresh").click();
  await eventually("both are asked again", () => count("Me") === 3 && count("Users") === 3);
  await seesAllIsWell();
  assert.deepEqual(refusals.sort(), [
    ["Me", "TOKEN_EXPIRED"],
    ["Users", "TOKEN_EXPIRED"],
  ]);
  assert.equal(count("CreateToken"), 2);
});

test("what is refused after the sign-in is asked again without another", async () => {
  await signIn();
  await seesAllIsWell();
  await revoke();
  // The refusal of the users query arrives after the other query has succeeded.
  await page.route(API, async (route) => {
    if (operation(route.request()) !== "Users" || count("Users") > 2) return route.continue();
    const response = await route.fetch();
    await eventually("the other came through", () => count("Me") === 3);
    await route.fulfill({ response });
  });
  await button("Refresh").click();
  await eventually("both are asked again", () => count("Users") === 3);
  await seesAllIsWell();
  assert.equal(refusals.length, 2);
  assert.equal(count("CreateToken"), 2);
});

test("the next page comes although the session has ended", async () => {
  await signIn();
  await seesAllIsWell();
  await revoke();
  await button("Show more").click();
  await page.getByText(`${USERS} of ${USERS}`).waitFor();
  assert.equal(count("CreateToken"), 2);
});

test("if signing in again fails, the form says why", async () => {
  await signIn();
  await seesAllIsWell();
  await revoke();
  // Simulates a password change.
  await page.route(API, (route) => {
    const headers = route.request().headers();
    if (operation(route.request()) === "CreateToken") headers.authorization = `Basic ${btoa("a:b")}`;
    return route.continue({ headers });
  });
  await button("Refresh").click();
  await alert().getByText("You are signed out. The username or password is wrong.").waitFor();
  await sleep(500);
  assert.equal(count("CreateToken"), 2);
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  await page.unroute(API);
  await signIn();
  await seesAllIsWell();
});

test("signing out ends the session and shows the form", async () => {
  await signIn();
  await seesAllIsWell();
  const authorization = `Bearer ${await currentToken()}`;
  await button("Sign out").click();
  await page.getByLabel("Password").waitFor();
  assert.equal(await page.getByText(NAME).count(), 0);
  await eventually("the token is dead", async () => {
    const { errors } = await api("{ me { id } }", { authorization });
    return errors?.[0].extensions.reason === "TOKEN_EXPIRED";
  });
  assert.deepEqual([count("CreateToken"), count("RevokeToken")], [1, 1]);
  assert.equal(await alert().count(), 0);
});

test("if the server cannot be told of the end, the form says so", async () => {
  await signIn();
  await seesAllIsWell();
  await page.route(API, (route) => route.abort());
  await button("Sign out").click();
  await alert().getByText("the server did not revoke the token. The server cannot be reached.").waitFor();
  await page.unroute(API);
  await signIn();
  await seesAllIsWell();
  // The message of the browser about the failed request.
  assert.match(complaints.pop(), /ERR_FAILED/);
});

test("it fits a phone, and can be used by keyboard", async () => {
  await page.setViewportSize({ width: 360, height: 640 });
  await page.keyboard.type(NAME);
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  const outline = () => getComputedStyle(document.activeElement).outlineStyle;
  assert.equal(await page.evaluate(outline), "solid");
  await page.keyboard.press("Enter");
  await seesAllIsWell();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(width, 360);
});

// examples/apollo in Chromium. The example is copied out of the repository, and built and served there.
//
// SYMBOLON_URL is a new server whose folder is SYMBOLON_FOLDER. It allows requests of ORIGIN: a free port of this
// machine, at which the frontend is served. SYMBOLON_PROGRAM is the program.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cpSync } from "node:fs";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";
import { eventually, Frontend } from "./frontend.mjs";

const { SYMBOLON_URL, SYMBOLON_PROGRAM, SYMBOLON_FOLDER, ORIGIN } = process.env;
const { DATABASE_URL, SYMBOLON_SECRET_KEY_FILE } = process.env;
assert(SYMBOLON_URL && SYMBOLON_PROGRAM && SYMBOLON_FOLDER && ORIGIN, "a variable is not set");
const API = `${SYMBOLON_URL}/graphql`;
const EXAMPLE = fileURLToPath(new URL("../../../examples/apollo", import.meta.url));
// Beyond Latin-1, and with the colon that ends a username.
const PASSWORD = "correct: hörse báttery ☃";
const NEW_PASSWORD = "another good pässword";
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

/** Signs in on another device, and returns its credentials. */
async function signInElsewhere(username, device) {
  const authorization = `Basic ${Buffer.from(`${username}:${PASSWORD}`).toString("base64")}`;
  const query = "mutation ($device: String) { createToken(device: $device) { token } }";
  const { data } = await api(query, { variables: { device }, authorization });
  return { authorization: `Bearer ${data.createToken.token}` };
}

/** Returns whether the server refuses the credentials. */
const isRefused = async (credentials) => (await api("{ me { id } }", credentials)).errors !== undefined;

let frontend, browser, page, asked, refusals, complaints;

before(async () => {
  frontend = new Frontend();
  const isBuilt = (path) => [`${EXAMPLE}/node_modules`, `${EXAMPLE}/dist`].includes(path);
  cpSync(EXAMPLE, frontend.folder, { recursive: true, filter: (path) => !isBuilt(path) });
  frontend.npm(["ci", "--ignore-scripts", "--prefer-offline"]);
  frontend.npm(["run", "build"], { VITE_API: API });
  await frontend.serve(ORIGIN);
  await register(NAME);
  for (let n = 1; n < USERS; n += 1) await register(`user-${randomUUID()}`);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  frontend?.close();
});

/** Returns the first field of an operation. */
const operation = (request) =>
  request.method() === "POST" && request.url() === API
    ? request.postDataJSON().query.match(/\{\s*(\w+)/)[1]
    : "";
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
    Object.entries(localStorage),
    await indexedDB.databases(),
    await caches.keys(),
    document.cookie,
    location.search,
    location.hash,
  ]);
  assert.deepEqual(kept, [[], [], [], "", "", ""]);
  // The tab stores the token, the user and the lifetime, and only while there is a session.
  const stored = await page.evaluate(() => Object.entries(sessionStorage));
  const isSignedIn = (await button("Sign out", true).count()) > 0;
  assert.equal(stored.length, isSignedIn ? 1 : 0);
  for (const [key, value] of stored) {
    assert.equal(key, `symbolon ${API}`);
    assert.deepEqual(Object.keys(JSON.parse(value)), ["token", "user", "issued", "due", "expires"]);
  }
  assert.deepEqual(complaints, []);
  await page.context().close();
});

const button = (name, exact = false) => page.getByRole("button", { name, exact });
const alert = () => page.getByRole("alert");
const users = () => page.getByRole("region", { name: "Users" });
const devices = () => page.getByRole("region", { name: "Devices" });

async function signIn(username = NAME, password = PASSWORD) {
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(password);
  await button("Sign in").click();
}

async function seesAllIsWell(username = NAME) {
  await page.getByRole("heading", { name: `Hello, ${username}` }).waitFor();
  await users().getByText(/^20 of \d+$/).waitFor();
  await devices().getByText("this device").waitFor();
  assert.equal(await users().getByRole("listitem").count(), 20);
  assert.equal(await alert().count(), 0);
}

test("sign in, see oneself and the users page by page", async () => {
  await signIn();
  await seesAllIsWell();
  assert.equal(count("createToken"), 1);
  await button("Show more").click();
  await users().getByText(`${USERS} of ${USERS}`).waitFor();
  assert.equal(await users().getByRole("listitem").count(), USERS);
  const names = await users().getByRole("listitem").locator("span").allTextContents();
  assert.equal(new Set(names).size, USERS);
  assert.equal(await button("Show more").count(), 0);
  assert.deepEqual(refusals, []);
});

test("a wrong password is reported, and tried once", async () => {
  await signIn(NAME, "wrong");
  await alert().getByText("The username or password is wrong.").waitFor();
  await sleep(300);
  assert.deepEqual(asked.filter(Boolean), ["createToken"]);
  await signIn();
  await seesAllIsWell();
});

test("registration shows errors next to the fields, and signs in", async () => {
  await button("Create an account").click();
  const field = (label) => page.getByLabel(label);
  await field("Username").fill("a b");
  await field("Password").fill("short");
  await button("Create account").click();
  const described = async (label) => {
    const id = await field(label).getAttribute("aria-describedby");
    return page.locator(`[id="${id}"]`).textContent();
  };
  await eventually("the errors are shown", async () => (await described("Username")) !== "");
  assert.match(await described("Username"), /without spaces/);
  assert.match(await described("Password"), /8 characters/);
  assert.equal(await field("Username").getAttribute("aria-invalid"), "true");
  const focused = () => document.activeElement.getAttribute("name");
  assert.equal(await page.evaluate(focused), "username");
  const username = `new-${randomUUID()}`;
  await field("Username").fill(username);
  await field("E-mail").fill(`${username}@example.org`);
  await field("Password").fill(PASSWORD);
  await button("Create account").click();
  await seesAllIsWell(username);
});

test("if only the registration succeeds, the page says so, and the user can sign in", async () => {
  const username = `new-${randomUUID()}`;
  await page.route(API, (route) =>
    operation(route.request()) === "createToken" ? route.abort() : route.fallback(),
  );
  await button("Create an account").click();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(PASSWORD);
  await button("Create account").click();
  await page.getByRole("status").getByText("You are registered, but not signed in. The server cannot be reached.").waitFor();
  assert.equal(await page.getByLabel("Username").inputValue(), username);
  await page.unroute(API);
  // The field has the focus.
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await seesAllIsWell(username);
  assert.equal(count("createUser"), 1);
  assert.match(complaints.pop(), /ERR_FAILED/);
});

test("the list of users is not shown to a user who may not see it", async () => {
  const message = "Your role does not permit this operation.";
  const json = { data: null, errors: [{ message, extensions: { code: "FORBIDDEN" } }] };
  await page.route(API, (route) =>
    operation(route.request()) === "users" ? route.fulfill({ json, headers: { "access-control-allow-origin": "*" } }) : route.fallback(),
  );
  await signIn();
  await devices().getByText("this device").waitFor();
  await eventually("the list was refused", () => refusals.some(([name]) => name === "users"));
  await eventually("the list is not shown", async () => (await users().count()) === 0);
  assert.equal(await alert().count(), 0);
  await page.unroute(API);
  await button("Refresh").click();
  await seesAllIsWell();
});

test("a reload keeps the session, and the token is renewed once after half of its lifetime", async () => {
  await signIn();
  await seesAllIsWell();
  await page.reload();
  await seesAllIsWell();
  assert.deepEqual([count("createToken"), count("renewToken")], [1, 0]);
  await page.clock.setFixedTime(Date.now() + 31 * 60_000);
  const before = asked.length;
  await button("Refresh").click();
  await eventually("both queries are sent again", () => count("me") === 3 && count("users") === 3);
  await seesAllIsWell();
  assert.equal(count("renewToken"), 1);
  // The renewal precedes the queries.
  assert.equal(asked.slice(before).filter(Boolean)[0], "renewToken");
  assert.deepEqual(refusals, []);
});

test("if another device ends the session, the form says why, and private data is gone", async () => {
  await signIn();
  await seesAllIsWell();
  const other = await signInElsewhere(NAME, "other");
  await api("mutation { revokeOtherSessions }", other);
  await button("Refresh").click();
  await page.getByRole("status").getByText("Your session was ended").waitFor();
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  assert.equal(await page.getByText(NAME).count(), 0);
  assert.equal(count("renewToken"), 0);
  await signIn();
  await seesAllIsWell();
});

test("signing out revokes the token, and shows the form", async () => {
  const other = await signInElsewhere(NAME, "other");
  await api("mutation { revokeOtherSessions }", other);
  await signIn();
  await seesAllIsWell();
  await button("Sign out", true).click();
  await page.getByLabel("Password").waitFor();
  assert.equal(await page.getByText(NAME).count(), 0);
  await eventually("only the other session is live", async () => {
    const { data } = await api("{ me { sessions { nodes { device } } } }", other);
    return data.me.sessions.nodes.length === 1;
  });
  assert.equal(count("revokeToken"), 1);
  await page.reload();
  await page.getByLabel("Password").waitFor();
});

test("if the server cannot be reached at the sign-out, the form says so", async () => {
  await signIn();
  await seesAllIsWell();
  await page.route(API, (route) => route.abort());
  await button("Sign out", true).click();
  const text = "the server did not revoke the token. The server cannot be reached.";
  await page.getByRole("status").getByText(text).waitFor();
  await page.unroute(API);
  await signIn();
  await seesAllIsWell();
  // The message of the browser about the failed request.
  assert.match(complaints.pop(), /ERR_FAILED/);
});

test("other devices are listed, and signed out one by one or together", async () => {
  const username = `devices-${randomUUID()}`;
  await register(username);
  const [phone, tablet, desk] = await Promise.all(
    ["phone", "tablet", "desk"].map((device) => signInElsewhere(username, device)),
  );
  await signIn(username);
  await seesAllIsWell(username);
  assert.equal(await devices().getByRole("listitem").count(), 4);
  await devices().getByRole("button", { name: "Sign out phone" }).click();
  await eventually("the list is updated", async () => (await devices().getByRole("listitem").count()) === 3);
  assert.deepEqual([await isRefused(phone), await isRefused(tablet)], [true, false]);
  await button("Sign out all other devices").click();
  await eventually("the list is updated", async () => (await devices().getByRole("listitem").count()) === 1);
  assert.deepEqual([await isRefused(tablet), await isRefused(desk)], [true, true]);
  assert.equal(await button("Sign out all other devices").count(), 0);
  // The focus does not return to the start of the page.
  await eventually("the heading has the focus", () => page.evaluate(() => document.activeElement.id === "devices"));
  await seesAllIsWell(username);
});

/** Returns a link with which the user sets a new password. */
function resetLink(username) {
  const env = {
    SYMBOLON_PUBLIC_URL: SYMBOLON_URL,
    SYMBOLON_RESET_PAGE: `${ORIGIN}/`,
    ...(DATABASE_URL && { DATABASE_URL, SYMBOLON_SECRET_KEY_FILE }),
  };
  const options = { cwd: SYMBOLON_FOLDER, env, encoding: "utf8" };
  const printed = execFileSync(SYMBOLON_PROGRAM, ["user", "reset-link", username], options);
  const [link] = printed.match(/http\S+/);
  assert(link.startsWith(`${ORIGIN}/#token=`), link);
  return link;
}

test("a reset link sets a new password", async () => {
  const username = `reset-${randomUUID()}`;
  await register(username);
  await page.goto("about:blank");
  await page.goto(resetLink(username));
  await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
  assert.equal(await page.evaluate(() => location.href), `${ORIGIN}/`);
  assert.equal(await page.getByLabel("Username").inputValue(), username);
  await page.getByLabel("New password").fill("short");
  await page.keyboard.press("Enter");
  await page.getByText("8 characters").waitFor();
  await page.getByLabel("New password").fill(NEW_PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByText("Your password is set. Sign in with it.").waitFor();
  await page.getByLabel("Password").fill(NEW_PASSWORD);
  await page.keyboard.press("Enter");
  await seesAllIsWell(username);
});

test("a reset link is taken from the address of the open page, which is not loaded again", async () => {
  const [username, other] = [`reset-${randomUUID()}`, `reset-${randomUUID()}`];
  for (const name of [username, other]) await register(name);
  await page.evaluate(() => (window.isSamePage = true));
  for (const name of [username, other]) {
    await page.goto(resetLink(name));
    await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
    await eventually("the form is that of the user", async () => (await page.getByLabel("Username").inputValue()) === name);
    assert.equal(await page.getByLabel("New password").inputValue(), "");
    assert.equal(await page.evaluate(() => location.href), `${ORIGIN}/`);
    await page.getByLabel("New password").fill(NEW_PASSWORD);
  }
  await page.keyboard.press("Enter");
  await page.getByText("Your password is set. Sign in with it.").waitFor();
  assert.equal(await page.getByLabel("Username").inputValue(), other);
  assert(await page.evaluate(() => window.isSamePage));
});

for (const colorScheme of ["light", "dark"]) {
  test(`it fits a phone, can be used by keyboard, and is ${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width: 360, height: 640 });
    const background = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const [red] = background.match(/\d+/);
    assert.equal(Number(red) > 128, colorScheme === "light");
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
}

// The packed @symbolon/client in a new Vite application made from its README, in Chromium.
// clients/js/dist contains the built package.
//
// SYMBOLON_URL is a new server that allows requests of ORIGIN: a free port of this machine, at which the application is
// served. EMBED_URL is a new server of examples/embed.rs, which has a subscription.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";
import { eventually, Frontend } from "./frontend.mjs";

const { SYMBOLON_URL, EMBED_URL, ORIGIN } = process.env;
assert(SYMBOLON_URL && EMBED_URL && ORIGIN, "a variable is not set");
const PACKAGE = fileURLToPath(new URL("../../../clients/js", import.meta.url));
const README = readFileSync(join(PACKAGE, "README.md"), "utf8");
const CREDENTIALS = { username: "ada", password: "correct horse" };

/** Returns the first code block of a language below a heading of the README. */
function block(heading, language) {
  const [, section] = README.split(`### ${heading}\n`);
  const [, rest] = section.split(`\`\`\`${language}\n`);
  return rest.split("```")[0];
}

// The pages, and the replacements of the addresses in their code.
const PAGES = {
  "Apollo Client": [["http://127.0.0.1:8000", SYMBOLON_URL]],
  urql: [["http://127.0.0.1:8000", SYMBOLON_URL]],
  // Vite forwards these requests to the server.
  "graphql-ws": [
    ["http://127.0.0.1:8000", ORIGIN],
    ["ws://127.0.0.1:8000", ORIGIN.replace("http", "ws")],
  ],
};
const fileOf = (heading) => heading.toLowerCase().replace(" ", "-");

async function api(server, query, { variables, authorization } = {}) {
  const response = await fetch(`${server}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(authorization && { authorization }) },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()).data;
}

let frontend, browser;

before(async () => {
  frontend = new Frontend();
  const { folder } = frontend;
  const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder];
  const tarball = execFileSync("npm", pack, { cwd: PACKAGE, encoding: "utf8" }).trim();
  // The commands of the README, with the tarball instead of the published package, and with tested versions.
  const { packages } = JSON.parse(readFileSync(join(PACKAGE, "package-lock.json"), "utf8"));
  const named = Object.keys(PAGES).flatMap((heading) => block(heading, "sh").trim().split(" ").slice(2));
  const wanted = Array.from(new Set([...named, "vite"]), (name) =>
    name === "@symbolon/client" ? `./${tarball}` : `${name}@${packages[`node_modules/${name}`].version}`,
  );
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  frontend.npm(["install", "--ignore-scripts", "--prefer-offline", "--no-audit", ...wanted]);
  for (const [heading, replacements] of Object.entries(PAGES)) {
    let code = block(heading, "js");
    for (const [from, to] of replacements) {
      assert(code.includes(from), `${heading}: ${from}`);
      code = code.replaceAll(from, to);
    }
    const name = fileOf(heading);
    writeFileSync(join(folder, `${name}.js`), code);
    writeFileSync(join(folder, `${name}.html`), `<link rel="icon" href="data:," /><script type="module" src="/${name}.js"></script>`);
  }
  const config = {
    build: { rolldownOptions: { input: Object.keys(PAGES).map((heading) => `${fileOf(heading)}.html`) } },
    preview: { proxy: { "^/graphql$": { target: EMBED_URL, ws: true } } },
  };
  writeFileSync(join(folder, "vite.config.js"), `export default ${JSON.stringify(config)};`);
  frontend.npm(["exec", "vite", "build"]);
  await frontend.serve(ORIGIN);
  const create = "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }";
  for (const server of [SYMBOLON_URL, EMBED_URL]) {
    assert((await api(server, create, { variables: { input: CREDENTIALS } })).createUser.user);
  }
  browser = await launch();
});

after(async () => {
  await browser?.close();
  frontend?.close();
});

/** Opens a page, waits until it shows the text, and closes it. */
async function shows(heading, text, meanwhile = () => {}) {
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(`${ORIGIN}/${fileOf(heading)}.html`);
  await eventually(`${heading} shows ${text}`, async () => {
    assert.deepEqual(complaints, []);
    await meanwhile();
    return (await page.locator("body").textContent()) === text;
  });
  const stored = () => [...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie];
  assert.deepEqual(await page.evaluate(stored), [""]);
  await page.close();
}

test("Apollo Client", () => shows("Apollo Client", "Hello, ada"));

test("urql", () => shows("urql", "Hello, ada"));

test("graphql-ws", async () => {
  const authorization = `Basic ${btoa(`${CREDENTIALS.username}:${CREDENTIALS.password}`)}`;
  const { createToken } = await api(EMBED_URL, "mutation { createToken { token } }", { authorization });
  const bearer = { authorization: `Bearer ${createToken.token}` };
  // The subscription starts after some time.
  await shows("graphql-ws", "A note: hello", () =>
    api(EMBED_URL, 'mutation { addNote(text: "hello") }', bearer),
  );
});

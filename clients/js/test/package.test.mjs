// The published package: its size and its files. The tests of the browser install it.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { expect, test } from "vitest";

const FOLDER = fileURLToPath(new URL("..", import.meta.url));
const COPY = fileURLToPath(new URL("../../../examples/apollo/client", import.meta.url));
const ENTRIES = ["", "/apollo", "/urql", "/graphql-ws"];

/** Returns the number of bytes that these entry points add to a compressed bundle. */
async function size(entries) {
  const exports = entries.map((entry) => `export * from "@symbolon/client${entry}";`);
  const { outputFiles } = await build({
    stdin: { contents: exports.join("\n"), resolveDir: FOLDER },
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    external: ["@apollo/client", "@urql/core", "graphql-ws"],
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test("the package adds less than 3 KB to a bundle, as the README says", async () => {
  const readme = readFileSync(`${FOLDER}/README.md`, "utf8");
  const sizes = [await size([""])];
  for (const entry of ENTRIES.slice(1)) sizes.push(await size(["", entry]));
  const all = await size(ENTRIES);
  expect(all).toBeLessThan(3000);
  const table = readme.split("## Size")[1].matchAll(/\| (\d+) \|/g);
  expect(Array.from(table, ([, bytes]) => Number(bytes))).toEqual([...sizes, all]);
});

test("with exactOptionalPropertyTypes, an optional member can be undefined", () => {
  const compiler = join(FOLDER, "node_modules/typescript/bin/tsc");
  const options = ["--ignoreConfig", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck"];
  const target = ["--target", "es2022", "--module", "nodenext", "--types", "node"];
  execFileSync(process.execPath, [compiler, ...options, ...target, "test/types.ts"], { cwd: FOLDER, encoding: "utf8" });
});

/** Returns the paths of the files that are published. */
function published() {
  const options = { cwd: FOLDER, encoding: "utf8" };
  const listing = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], options);
  return JSON.parse(listing)[0].files.map(({ path }) => path).sort();
}

test("the package contains the modules, their types, the README and the licenses", () => {
  const modules = ["apollo", "error", "graphql-ws", "index", "urql"];
  const built = modules.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
  const others = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"];
  expect(published()).toEqual([...others, ...built].sort());
});

test("examples/apollo contains the package (npm run example)", () => {
  const copied = readdirSync(COPY, { recursive: true, withFileTypes: true });
  const paths = copied.filter((entry) => entry.isFile()).map((entry) => relative(COPY, join(entry.parentPath, entry.name)));
  expect(paths.sort()).toEqual(published());
  for (const path of paths) {
    let expected = readFileSync(join(FOLDER, path), "utf8");
    if (path === "package.json") {
      const { scripts: _, devDependencies: __, ...rest } = JSON.parse(expected);
      expected = `${JSON.stringify(rest, null, 2)}\n`;
    }
    expect(readFileSync(join(COPY, path), "utf8"), path).toBe(expected);
  }
});

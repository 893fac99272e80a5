// Compares a server with graphql-js: the verdict about each document and the positions of its errors. The arguments are
// the URL of the endpoint and the file with its schema.

import { readFile } from "node:fs/promises";

import { buildSchema, execute, GraphQLError, parse, validate } from "graphql";

import { DOCUMENTS } from "./comparison/documents.mjs";
import { document, mutate, random, rename } from "./comparison/generator.mjs";

const [url, schemaFile, seed = "1", count = "250"] = process.argv.slice(2);
const schema = buildSchema(await readFile(schemaFile, "utf8"));

const positions = (errors) =>
  errors
    .map(({ locations = [] }) => locations.map(({ line, column }) => `${line}:${column}`).join(" "))
    .sort();

/** Returns the verdict of graphql-js. */
async function reference({ query, variables, operationName }) {
  let parsed;
  try {
    parsed = parse(query);
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    return { verdict: "parse", at: positions([error]), errors: [error] };
  }
  const invalid = validate(schema, parsed);
  if (invalid.length > 0) return { verdict: "validation", at: positions(invalid), errors: invalid };
  const result = await execute({
    schema,
    document: parsed,
    variableValues: variables,
    operationName,
  });
  if ("data" in result) return { verdict: "accepted", at: [], errors: [] };
  const { errors } = result;
  const isVariable = errors.some(({ message }) => message.startsWith("Variable"));
  return { verdict: isVariable ? "variable" : "validation", at: positions(errors), errors };
}

const VERDICTS = {
  GRAPHQL_PARSE_FAILED: "parse",
  GRAPHQL_VALIDATION_FAILED: "validation",
  BAD_USER_INPUT: "variable",
};

/** Returns the verdict of the server. */
async function observed(body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const { data, errors = [] } = await response.json();
  if (data !== undefined) return { verdict: "accepted", at: [], errors };
  const { code, limit } = errors[0].extensions;
  const verdict = VERDICTS[code] ?? `${code} ${limit ?? ""}`.trim();
  return { verdict, at: positions(errors), errors };
}

/** The differences that remain, with their reasons. Each entry must apply to at least one document. */
const DIFFERENCES = [
  {
    why: "The limits on the cost of an operation refuse valid documents.",
    applies: ({ expected, actual }) =>
      expected.verdict === "accepted" && actual.verdict === "LIMIT_EXCEEDED complexity",
  },
  {
    why: "The limit on the depth of introspection is a limit, not a rule of validation.",
    applies: ({ expected, actual }) =>
      expected.errors.some(({ message }) => message === "Maximum introspection depth exceeded") &&
      actual.verdict === "LIMIT_EXCEEDED introspectionDepth",
  },
  {
    why: "Definitions of types are refused by the parser, because no request can contain one.",
    applies: ({ expected, actual }) =>
      expected.errors.some(({ message }) => message.endsWith("definition is not executable.")) &&
      actual.verdict === "parse" &&
      (expected.errors.length > 1 || `${expected.at}` === `${actual.at}`),
  },
  {
    why: "Syntax errors within definitions of types are reported at the start of the definition.",
    applies: ({ test, expected, actual }) =>
      expected.verdict === "parse" &&
      actual.verdict === "parse" &&
      /\b(type|extend|schema|directive|scalar|enum|input|union|interface)\b/.test(test.query),
  },
  {
    why: "The schema has no subscriptions. graphql-js finds out during the execution.",
    applies: ({ test, actual }) =>
      /^subscription\b/.test(test.query) &&
      actual.errors.some(({ message }) => message === "The schema has no subscriptions."),
  },
  {
    why: "The type Float is known, although the schema does not use it.",
    applies: ({ expected }) =>
      expected.errors.some(({ message }) => message.startsWith('Unknown type "Float"')),
  },
  {
    why: "Two string literals with the same value are equal, even if only one is a block string.",
    applies: ({ test, expected, actual }) =>
      test.query.includes('"""') &&
      actual.verdict === "accepted" &&
      expected.errors.every(({ message }) => message.includes("differing arguments")),
  },
];

function* cases() {
  for (const [group, documents] of Object.entries(DOCUMENTS)) {
    for (const entry of documents) {
      const [query, variables = {}, operationName] = [entry].flat(1);
      yield { group, query, variables, operationName };
    }
  }
  const rng = random(Number(seed));
  const names = Object.values(schema.getTypeMap()).flatMap((type) => [
    type.name,
    ...Object.keys(type.getFields?.() ?? {}),
  ]);
  for (let index = 0; index < Number(count); index += 1) {
    const { query, variables } = document(schema, rng);
    yield { group: "generated", query, variables };
    yield { group: "renamed", query: rename(query, rng, names), variables };
    yield { group: "mutated", query: mutate(query, rng), variables };
    yield { group: "mutated", query: mutate(query, rng), variables };
  }
}

const used = new Set();
const verdicts = {};
let compared = 0;
let unlisted = 0;
const queue = cases();

async function compare() {
  for (const test of queue) {
    const { query, variables, operationName } = test;
    const [expected, actual] = await Promise.all([
      reference(test),
      observed({ query, variables, operationName }),
    ]);
    compared += 1;
    verdicts[expected.verdict] = (verdicts[expected.verdict] ?? 0) + 1;
    const same =
      expected.verdict === actual.verdict && expected.at.join() === actual.at.join();
    if (same) continue;
    const listed = DIFFERENCES.find(({ applies }) => applies({ test, expected, actual }));
    if (listed) {
      used.add(listed);
      continue;
    }
    unlisted += 1;
    const shown = ({ verdict, at, errors }) =>
      `${verdict} at [${at.join(", ")}] ${errors.map(({ message }) => message).join(" | ")}`;
    console.log(`${test.group}: ${JSON.stringify({ query, variables, operationName })}`);
    console.log(`  graphql-js: ${shown(expected)}`);
    console.log(`  server:     ${shown(actual)}`);
  }
}

await Promise.all(Array.from({ length: 8 }, compare));
for (const difference of DIFFERENCES.filter((entry) => !used.has(entry))) {
  unlisted += 1;
  console.log(`no longer a difference: ${difference.why}`);
}
console.log(JSON.stringify(verdicts));
console.log(`${compared} documents compared, ${unlisted} unlisted differences`);
process.exitCode = unlisted > 0 ? 1 : 0;

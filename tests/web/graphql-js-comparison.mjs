// Compares a server with graphql-js: the verdict about each document and the positions of its errors. The arguments are
// the URL of the endpoint and the file with its schema.
//
// The server may report fewer validation errors than graphql-js, and another position in the same selection, variable
// definition or head of a definition. It may report a syntax error one token earlier. The positions of errors in the
// values of variables must be equal.

import { readFile } from "node:fs/promises";

import { buildSchema, execute, getLocation, GraphQLError, parse, Source, validate, visit } from "graphql";

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

/** Returns a function that maps a position to the innermost selection, variable definition or definition. */
function places(query) {
  const source = new Source(query);
  const nodes = [];
  const kinds =
    /^(Field|FragmentSpread|InlineFragment|VariableDefinition|OperationDefinition|FragmentDefinition|[A-Za-z]+(TypeDefinition|TypeExtension|DirectiveDefinition|SchemaDefinition|SchemaExtension))$/;
  visit(parse(query), {
    enter({ kind, loc, selectionSet }) {
      if (kinds.test(kind)) nodes.push({ start: loc.start, end: selectionSet?.loc.start ?? loc.end });
    },
  });
  return (position) =>
    nodes.findLast(({ start, end }) => {
      const at = (offset) => {
        const { line, column } = getLocation(source, offset);
        return line * 1e6 + column;
      };
      const { line, column } = position;
      const found = line * 1e6 + column;
      return at(start) <= found && found <= at(end);
    });
}

/** Returns whether the errors have the same places. */
function agree({ query }, expected, actual) {
  if (expected.at.join() === actual.at.join()) return true;
  const all = (errors) => errors.flatMap(({ locations = [] }) => locations);
  if (expected.verdict === "validation" && actual.at.length > 0) {
    const place = places(query);
    const expectedPlaces = all(expected.errors).map(place);
    return all(actual.errors).every((position) => expectedPlaces.includes(place(position)));
  }
  if (expected.verdict === "parse" && actual.at.length === 1) {
    const lines = query.split(/\r\n|[\n\r]/);
    const [from, to] = [actual, expected].map(({ errors: [{ locations }] }) => locations[0]);
    const between = lines
      .slice(from.line - 1, to.line)
      .map((line, index, { length }) =>
        line.slice(index === 0 ? from.column - 1 : 0, index === length - 1 ? to.column - 1 : undefined),
      )
      .join("\n");
    return from.line <= to.line && /^[^\s,"]*(?:[\s,]|#.*)*(?:"[^]*|[^\s,"]*)$/u.test(between);
  }
  return false;
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
    why: "The schema has no subscriptions. graphql-js finds out during the execution.",
    applies: ({ test, actual }) =>
      /^subscription\b/.test(test.query) &&
      actual.errors.some(({ message }) => message.endsWith("root operation type is not defined")),
  },
  {
    why: "A root field of a mutation that is selected several times with different directives would be executed several times.",
    applies: ({ expected, actual }) =>
      expected.verdict === "accepted" &&
      actual.errors.some(({ message }) => message.startsWith("A field of the mutation is selected several times")),
  },
  {
    why: "The parser knows no descriptions in operations and fragments.",
    applies: ({ test, actual }) => /^[\s,]*"|[}"][\s,]*"|"\s*\$/.test(test.query) && actual.verdict === "parse",
  },
  {
    why: "The parser refuses commas and byte order marks before `:` and `!`, and after `...`.",
    applies: ({ test, actual }) =>
      /[,\uFEFF][\s,]*[:!]|\.\.\.\s*,/.test(test.query) && actual.verdict === "parse",
  },
  {
    why: "The specification allows any number of zeros in an escape sequence.",
    applies: ({ test, expected }) => test.query.includes("\\u{0000000") && expected.verdict === "parse",
  },
  {
    why: "A cycle of fragments is reported at a definition in the cycle, not at a spread.",
    applies: ({ expected, actual }) =>
      expected.verdict === actual.verdict &&
      expected.errors.some(({ message }) => message.startsWith("Cannot spread fragment")) &&
      actual.errors.some(({ message }) => message.endsWith("cannot reference itself")),
  },
  {
    why: "If a type condition names a type without fields, the error is reported at the first selection.",
    applies: ({ expected, actual }) =>
      expected.verdict === actual.verdict &&
      expected.errors.some(({ message }) => message.includes("cannot condition on non composite type")),
  },
  {
    why: "If a definition of a variable is not valid, a usage of the variable can be an error, too.",
    applies: ({ expected, actual }) =>
      expected.verdict === actual.verdict &&
      expected.errors.some(({ message }) => /^Unknown type|^There can be only one variable/.test(message)) &&
      actual.errors.some(({ message }) =>
        /cannot be used for argument|found a variable$/.test(message),
      ),
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
    if (expected.verdict === actual.verdict && agree(test, expected, actual)) continue;
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

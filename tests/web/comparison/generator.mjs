// Generates documents for a schema from a seed, and mutates them.

import {
  getNamedType,
  getNullableType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isRequiredArgument,
  isRequiredInputField,
  Lexer,
  Source,
  TokenKind,
} from "graphql";

/** Returns a generator of pseudo-random numbers (mulberry32) with helpers. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (limit) => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)],
  };
}

const STRINGS = [
  '""',
  '"ada"',
  '"é☃😀"',
  '"\\u00e9"',
  '"\\uD83D\\uDE00"',
  '"\\u{1F600}"',
  '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
  '"""block"""',
  '"""\n    a\n      b\n  """',
  '"""a \\""" b"""',
];
const SCALARS = {
  Int: ["0", "-1", "7", "2147483647", "-2147483648"],
  Float: ["0", "1.5", "-1e3", "2E-2"],
  Boolean: ["true", "false"],
  ID: ['"1"', "1", '"x"'],
  String: STRINGS,
  DateTime: ['"2030-01-01T00:00:00Z"'],
};

/** Writes a literal of a type, or a variable of it. */
class Writer {
  constructor(schema, rng) {
    this.schema = schema;
    this.rng = rng;
    this.variables = new Map();
    this.fragments = [];
  }

  literal(type, depth = 0) {
    const { rng } = this;
    if (isNonNullType(type)) return this.literal(type.ofType, depth);
    if (depth > 0 && rng.chance(0.1)) return "null";
    if (isListType(type)) {
      if (rng.chance(0.2)) return this.literal(getNullableType(type.ofType), depth);
      const item = () => this.value(type.ofType, depth + 1);
      return `[${Array.from({ length: rng.below(3) }, item).join(rng.pick([" ", ", "]))}]`;
    }
    if (isEnumType(type)) return rng.pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const all = Object.values(type.getFields());
      const fields = type.isOneOf
        ? [rng.pick(all)]
        : all.filter((field) => isRequiredInputField(field) || rng.chance(0.3));
      const written = fields.map(({ name, type: of }) => {
        const required = type.isOneOf ? this.literal(of) : this.value(of, depth + 1);
        return `${name}: ${required}`;
      });
      return `{${written.join(", ")}}`;
    }
    return rng.pick(SCALARS[type.name] ?? STRINGS);
  }

  value(type, depth = 0) {
    if (!this.rng.chance(0.3)) {
      return isNonNullType(type) || !this.rng.chance(0.1) ? this.literal(type, depth) : "null";
    }
    const name = `v${this.variables.size}`;
    this.variables.set(name, type);
    return `$${name}`;
  }

  directive() {
    if (!this.rng.chance(0.12)) return "";
    const boolean = this.schema.getDirective("skip").args[0].type;
    return ` @${this.rng.pick(["skip", "include"])}(if: ${this.value(boolean)})`;
  }

  arguments(args) {
    const given = args.filter((arg) => isRequiredArgument(arg) || this.rng.chance(0.4));
    if (given.length === 0) return "";
    return `(${given.map(({ name, type }) => `${name}: ${this.value(type)}`).join(", ")})`;
  }

  selections(type, depth) {
    const { rng } = this;
    const fields = type.getFields ? Object.values(type.getFields()) : [];
    const written = [];
    const count = 1 + rng.below(depth === 0 ? 3 : 4);
    for (let index = 0; index < count; index += 1) {
      const leaves = fields.filter((field) => !isCompositeType(getNamedType(field.type)));
      const candidates = depth > 3 ? leaves : fields;
      if (candidates.length === 0 || rng.chance(0.1)) {
        written.push(`${rng.chance(0.3) ? `t${index}: ` : ""}__typename${this.directive()}`);
        continue;
      }
      if (depth > 0 && rng.chance(0.1)) {
        const on = isAbstractType(type)
          ? rng.pick([type, ...this.schema.getPossibleTypes(type)])
          : type;
        const condition = rng.chance(0.8) || on !== type ? ` on ${on.name}` : "";
        written.push(`...${condition}${this.directive()} ${this.set(on, depth + 1)}`);
        continue;
      }
      if (depth > 0 && rng.chance(0.1)) {
        const name = `F${this.fragments.length}`;
        const position = this.fragments.push("") - 1;
        this.fragments[position] = `fragment ${name} on ${type.name} ${this.set(type, depth + 1)}`;
        written.push(`...${name}${this.directive()}`);
        continue;
      }
      const field = rng.pick(candidates);
      const composite = isCompositeType(getNamedType(field.type));
      const args = this.arguments(field.args);
      const alias = args || rng.chance(0.15) ? `a${depth}_${written.length}_${rng.below(1e6)}: ` : "";
      const set = composite ? ` ${this.set(getNamedType(field.type), depth + 1)}` : "";
      written.push(`${alias}${field.name}${args}${this.directive()}${set}`);
    }
    return written;
  }

  set(type, depth) {
    return `{ ${this.selections(type, depth).join(this.rng.pick([" ", "\n  ", ", "]))} }`;
  }

  operation(keyword, root) {
    const set = this.set(root, 0);
    const definitions = [...this.variables].map(([name, type]) => {
      const fallback =
        !isNonNullType(type) && this.rng.chance(0.3) ? ` = ${this.constant(type)}` : "";
      return `$${name}: ${type}${fallback}`;
    });
    const head = definitions.length > 0 ? `(${definitions.join(", ")})` : "";
    const name = this.rng.chance(0.6) || head ? " Op" : "";
    return [`${keyword}${name}${head} ${set}`, ...this.fragments].join("\n");
  }

  constant(type) {
    // A writer without variables.
    const written = new Writer(this.schema, { ...this.rng, chance: () => false });
    return written.literal(type);
  }

  json(type) {
    const { rng } = this;
    if (isNonNullType(type)) return this.json(type.ofType) ?? 1;
    if (rng.chance(0.1)) return null;
    if (rng.chance(0.12)) {
      return rng.pick([1, -1, 1.5, 3e9, "1", "x", true, [], {}, [null], "ADMIN", { id: 1 }, 1.0]);
    }
    if (isListType(type)) return rng.chance(0.2) ? this.json(type.ofType) : [this.json(type.ofType)];
    if (isEnumType(type)) return rng.pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields());
      const given = fields.filter((field) => isRequiredInputField(field) || rng.chance(0.3));
      const entries = given.map(({ name, type: of }) => [name, this.json(of)]);
      if (rng.chance(0.05)) entries.push(["unknown", 1]);
      return Object.fromEntries(entries);
    }
    switch (type.name) {
      case "Int":
        return rng.pick([0, 7, -1, 2147483647]);
      case "Float":
        return rng.pick([0, 1.5]);
      case "Boolean":
        return rng.chance(0.5);
      case "DateTime":
        return "2030-01-01T00:00:00Z";
      default:
        return rng.pick(["1", "ada", "é😀"]);
    }
  }
}

/** Returns a valid document with values for its variables. Some values are invalid. */
export function document(schema, rng) {
  const writer = new Writer(schema, rng);
  const mutation = schema.getMutationType();
  const isMutation = mutation && rng.chance(0.4);
  const query = writer.operation(
    isMutation ? "mutation" : "query",
    isMutation ? mutation : schema.getQueryType(),
  );
  const variables = {};
  for (const [name, type] of writer.variables) {
    if (isNonNullType(type) ? !rng.chance(0.05) : rng.chance(0.7)) {
      variables[name] = writer.json(type);
    }
  }
  return { query, variables };
}

const PIECES = [
  ..."!$()=:@[]{}|&.'?",
  ...["...", "on", "fragment", "query", "mutation", "subscription", "true", "false", "null"],
  ...["$v0", "$nope", "@skip", "@include(if: true)", "@nope", "@deprecated", "F0", "nope", "id"],
  ...["0", "00", "01", "-0", "1.", "1.5", ".5", "1e", "1e5", "-", "1a", "2147483648", "1.2.3"],
  ...['"', '""', '"x"', '"""', '"\\u{110000}"', '"\\uD83D"', '"\\uDE00"', '"\\x"', '"\\u12"'],
  ...["#c\n", "\uFEFF", ",", "\r", "\r\n", "\n", "é", "😀", "\u0000", "\t"],
  ...["User", "Role", "String!", "[Int]", "[ Int ! ]", "ADMIN", "__typename", "__Schema", "a: "],
  ...["{id}", "(a: 1)", "{a: 1, a: 2}", "[1, 2]", "{}", "[]", "type A { a: Int }", "extend"],
];

/** Returns the document with a random change of one to three tokens. */
export function mutate(query, rng) {
  let text = query;
  for (let changes = 1 + rng.below(2); changes > 0; changes -= 1) {
    const tokens = lex(text);
    if (tokens.length === 0) return text;
    const token = rng.pick(tokens);
    const other = rng.pick(tokens);
    const slice = ({ start, end }) => text.slice(start, end);
    const put = (start, end, piece) => `${text.slice(0, start)}${piece}${text.slice(end)}`;
    const padded = (piece) => ` ${piece} `;
    switch (rng.below(6)) {
      case 0:
        text = put(token.start, token.end, " ");
        break;
      case 1:
        text = put(token.end, token.end, padded(slice(token)));
        break;
      case 2:
        text = put(token.start, token.end, rng.chance(0.5) ? slice(other) : padded(slice(other)));
        break;
      case 3:
        text = put(token.start, token.start, padded(slice(other)));
        break;
      case 4:
        text = put(token.start, token.end, rng.chance(0.3) ? rng.pick(PIECES) : padded(rng.pick(PIECES)));
        break;
      default:
        text = put(token.start, token.start, rng.chance(0.3) ? rng.pick(PIECES) : padded(rng.pick(PIECES)));
    }
  }
  return text;
}

/** Renames a name, or replaces a literal, so that the syntax stays valid. */
export function rename(query, rng, names) {
  const tokens = lex(query);
  const kinds = [TokenKind.NAME, TokenKind.INT, TokenKind.FLOAT, TokenKind.STRING];
  const candidates = tokens.filter(({ kind }) => kinds.includes(kind));
  if (candidates.length === 0) return query;
  const token = rng.pick(candidates);
  const values = ["1", "1.5", '"x"', "true", "null", "ADMIN", "[1]", "{id: 1}", "$v0", "3000000000"];
  const isName = token.kind === TokenKind.NAME;
  const replacement = isName
    ? rng.chance(0.5)
      ? rng.pick(names)
      : query.slice(...Object.values((({ start, end }) => ({ start, end }))(rng.pick(candidates))))
    : rng.pick(values);
  return `${query.slice(0, token.start)}${replacement}${query.slice(token.end)}`;
}

/** Returns the tokens of a text up to the first lexical error. */
function lex(text) {
  const lexer = new Lexer(new Source(text));
  const tokens = [];
  try {
    for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
      tokens.push(token);
    }
  } catch {
    // The tokens before the error are enough.
  }
  return tokens;
}

// graphql-yoga on the table of the tutorial server. ARGON2 is the package that verifies passwords.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import Database from "better-sqlite3";
import { createSchema, createYoga } from "graphql-yoga";

const { ARGON2, DATABASE, PORT } = process.env;
// Both packages read the parameters from the hash, and use their own threads.
const verify = (await import(ARGON2)).verify;

const database = new Database(DATABASE);
const byToken = database.prepare("SELECT * FROM user WHERE token = ?");
const byUsername = database.prepare("SELECT * FROM user WHERE username = ?");
const first = database.prepare("SELECT * FROM user ORDER BY id LIMIT ?");
const setToken = database.prepare("UPDATE user SET token = ?, token_expiration = ? WHERE id = ?");

// The format of SQLAlchemy and SeaORM.
const time = (milliseconds) =>
  new Date(Date.now() + milliseconds).toISOString().replace("T", " ").replace("Z", "000");

function credentials(request, scheme) {
  const [given, value] = (request.headers.get("authorization") ?? "").split(" ");
  if (given !== scheme || !value) throw new Error("Unauthorized");
  return value;
}

function currentUser(request) {
  const user = byToken.get(credentials(request, "Bearer"));
  if (!user || user.token_expiration <= time(0)) throw new Error("Unauthorized");
  return user;
}

async function createToken(request) {
  const decoded = Buffer.from(credentials(request, "Basic"), "base64").toString();
  const colon = decoded.indexOf(":");
  const user = byUsername.get(decoded.slice(0, colon));
  if (!user || !(await verify(user.password_hash, decoded.slice(colon + 1)))) throw new Error("Unauthorized");
  if (user.token && user.token_expiration > time(60_000)) return { token: user.token };
  const token = randomBytes(24).toString("base64");
  setToken.run(token, time(3_600_000), user.id);
  return { token };
}

const yoga = createYoga({
  logging: false,
  graphiql: false,
  maskedErrors: false,
  schema: createSchema({
    typeDefs: `
      type User { id: ID!, username: String!, email: String! }
      type Users { nodes: [User!]! }
      type Token { token: String! }
      type Query { me: User!, users(first: Int!): Users! }
      type Mutation { createToken: Token! }
    `,
    resolvers: {
      Query: {
        me: (_, __, { request }) => currentUser(request),
        users: (_, arguments_, { request }) => {
          currentUser(request);
          return { nodes: first.all(arguments_.first) };
        },
      },
      Mutation: { createToken: (_, __, { request }) => createToken(request) },
    },
  }),
});
createServer(yoga).listen(PORT, "127.0.0.1");

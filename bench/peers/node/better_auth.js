// better-auth with its bearer and username plugins behind Node's own server. `better_auth.js seed USERS HASH` only
// creates its database, in which the session token of user N contains N.
import { createServer } from "node:http";
import { hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { bearer, username } from "better-auth/plugins";
import Database from "better-sqlite3";

const { DATABASE, PORT } = process.env;
const database = new Database(DATABASE);
database.pragma("journal_mode = WAL");

const auth = betterAuth({
  database,
  baseURL: `http://127.0.0.1:${PORT}`,
  secret: "only for measuring, and known to everybody",
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => hash(password, { memoryCost: 19456, timeCost: 2, parallelism: 1 }),
      verify: ({ hash, password }) => verify(hash, password),
    },
  },
  plugins: [bearer(), username()],
});

async function seed(users, hash) {
  const { runMigrations } = await getMigrations(auth.options);
  await runMigrations();
  const now = new Date().toISOString();
  // The lifetime of a new session, so that the first use does not renew it.
  const expiry = new Date(Date.now() + 7 * 86_400_000).toISOString();
  const user = database.prepare(
    "INSERT INTO user (id, name, email, emailVerified, createdAt, updatedAt, username, displayUsername) VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
  );
  const account = database.prepare(
    "INSERT INTO account (id, accountId, providerId, userId, password, createdAt, updatedAt) VALUES (?, ?, 'credential', ?, ?, ?, ?)",
  );
  const session = database.prepare(
    "INSERT INTO session (id, expiresAt, token, createdAt, updatedAt, userId) VALUES (?, ?, ?, ?, ?, ?)",
  );
  database.transaction(() => {
    for (let number = 1; number <= users; number++) {
      const id = String(number);
      const name = `user${number}`;
      user.run(id, name, `${name}@example.org`, now, now, name, name);
      account.run(id, id, id, hash, now, now);
      session.run(id, expiry, id.padStart(32, "0"), now, now, id);
    }
  })();
}

if (process.argv[2] === "seed") {
  await seed(Number(process.argv[3]), process.argv[4]);
} else {
  createServer(toNodeHandler(auth)).listen(PORT, "127.0.0.1");
}

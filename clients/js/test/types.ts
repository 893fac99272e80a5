// Compiled, and not run.

import { createSession } from "@symbolon/client";

declare const text: string | undefined;
declare const storage: "memory" | undefined;
const password = "correct horse";
const session = createSession({ url: "http://127.0.0.1:8000/graphql", storage, fetch: undefined });
await session.register({ username: "ada", password, email: text });
await session.signIn({ username: "ada", password, device: text });

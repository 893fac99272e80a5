// The session of the user, and its credentials in each request.

import {
  ApolloClient,
  ApolloLink,
  CombinedGraphQLErrors,
  HttpLink,
  InMemoryCache,
} from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { relayStylePagination } from "@apollo/client/utilities";
import { useSyncExternalStore } from "react";
import { from, mergeMap } from "rxjs";

import { graphql } from "./generated";
import { words } from "./words";

const CREATE_TOKEN = graphql(`
  mutation CreateToken {
    createToken {
      token
    }
  }
`);

const REVOKE_TOKEN = graphql(`
  mutation RevokeToken {
    revokeToken
  }
`);

/**
 * The session of a user. It is in memory only and ends with the page: every script of this origin can read
 * localStorage.
 */
interface Session {
  token: string;
  /** Signs in again. Only this closure holds the password, until the session ends. */
  createToken: () => Promise<string>;
  /** The running sign-in, which all refused requests wait for. */
  renewal?: Promise<string>;
}

let session: Session | undefined;

/** The state that the page shows: whether there is a session, and the reason for its end. */
let shown: { signedIn: boolean; reason: string } = { signedIn: false, reason: "" };
const watchers = new Set<() => void>();

function become(next: Session | undefined, reason = "") {
  session = next;
  shown = { signedIn: next !== undefined, reason };
  watchers.forEach((watcher) => watcher());
}

function watch(watcher: () => void) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export const useSession = () => useSyncExternalStore(watch, () => shown);

/** Encodes as UTF-8, because btoa accepts Latin-1 only. */
function basic(username: string, password: string) {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCodePoint(...bytes))}`;
}

const bearer = (token: string) => `Bearer ${token}`;

/** Adds the token to a request, unless the request has its own credentials, such as a sign-in. */
const authLink = new SetContextLink(({ headers }) => {
  if (!session || headers?.authorization) return {};
  const { token } = session;
  return { session, token, headers: { ...headers, authorization: bearer(token) } };
});

/** Signs in again when a token is refused, and sends the request once more. */
const renewLink = new ErrorLink(({ error, operation, forward }) => {
  const context = operation.getContext() as { session?: Session; token: string; headers: object };
  // If the session has ended since, do not sign in again.
  if (!context.session || context.session !== session || !isUnauthenticated(error)) return;
  return from(renew(context.session, context.token)).pipe(
    mergeMap((token) => {
      operation.setContext({ headers: { ...context.headers, authorization: bearer(token) } });
      return forward(operation);
    }),
  );
});

function isUnauthenticated(error: unknown) {
  return (
    CombinedGraphQLErrors.is(error) &&
    error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED")
  );
}

/** Returns a token that replaces the refused one: one sign-in for all requests that were refused with it. */
function renew(own: Session, refused: string): Promise<string> {
  if (own.token !== refused) return Promise.resolve(own.token);
  own.renewal ??= own
    .createToken()
    .then((token) => (own.token = token))
    .catch((error: unknown) => {
      // The request is not repeated: the form shows the reason and asks for the password.
      if (session === own) end(`You are signed out. ${words(error)}`);
      throw error;
    })
    .finally(() => (own.renewal = undefined));
  return own.renewal;
}

/** Ends the session on this page, and forgets what was seen in it. */
function end(reason = "") {
  become(undefined, reason);
  void client.clearStore();
}

export const client = new ApolloClient({
  link: ApolloLink.from([
    authLink,
    renewLink,
    new HttpLink({ uri: import.meta.env.VITE_API || "http://127.0.0.1:8000/graphql" }),
  ]),
  cache: new InMemoryCache({
    typePolicies: { Query: { fields: { users: relayStylePagination() } } },
  }),
});

export async function signIn(username: string, password: string) {
  const authorization = basic(username, password);
  const createToken = async () => {
    const { data } = await client.mutate({
      mutation: CREATE_TOKEN,
      context: { headers: { authorization } },
      // The cache of Apollo must not contain the token.
      fetchPolicy: "no-cache",
    });
    return data!.createToken.token;
  };
  become({ token: await createToken(), createToken });
}

export async function signOut() {
  const own = session;
  if (!own) return;
  end();
  try {
    // A running sign-in would create a new token.
    const token = await (own.renewal ?? own.token);
    await client.mutate({
      mutation: REVOKE_TOKEN,
      context: { headers: { authorization: bearer(token) } },
    });
  } catch (error) {
    // A refused token has ended already.
    if (!session && !isUnauthenticated(error)) {
      become(undefined, `You are signed out here, but the server was not told. ${words(error)}`);
    }
  }
}

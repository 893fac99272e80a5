// Clients that first send only the hash of a document, and send the document after the server has refused the hash.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { createClient, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

import { URL_GRAPHQL } from "./support.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const QUERY = "query Root { __typename }";

/** Returns a `fetch` that records whether each request contains a document. */
function recorder() {
  const documents = [];
  const recording = (url, options) => {
    const text = options.body ?? new URL(url).searchParams.get("query");
    documents.push(`${text}`.includes("__typename"));
    return fetch(url, options);
  };
  return { documents, recording };
}

for (const useGETForHashedQueries of [false, true]) {
  test(`Apollo Client, hashes by ${useGETForHashedQueries ? "GET" : "POST"}`, async () => {
    const { documents, recording } = recorder();
    const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
    const http = new HttpLink({ uri: URL_GRAPHQL, fetch: recording });
    const client = new ApolloClient({
      cache: new InMemoryCache(),
      link: ApolloLink.from([persisted, http]),
    });
    for (let times = 0; times < 2; times += 1) {
      const { data } = await client.query({ query: gql(QUERY), fetchPolicy: "no-cache" });
      assert.equal(data.__typename, "Query");
    }
    // After the code, the client sends no hashes any more.
    assert.deepEqual(documents, [false, true, true]);
  });

  test(`urql, hashes by ${useGETForHashedQueries ? "GET" : "POST"}`, async () => {
    const { documents, recording } = recorder();
    const persisted = persistedExchange({
      generateHash: async (text) => sha256(text),
      preferGetForPersistedQueries: useGETForHashedQueries,
    });
    const client = createClient({
      url: URL_GRAPHQL,
      fetch: recording,
      exchanges: [persisted, fetchExchange],
      preferGetMethod: false,
    });
    const { data, error } = await client.query(QUERY, {});
    assert.equal(error, undefined);
    assert.equal(data.__typename, "Query");
    assert.deepEqual(documents, [false, true]);
  });
}

// Requests to the GraphQL endpoint. All URLs are relative, so that the page can be below any prefix.

export const ENDPOINT = 'graphql';

/** A refused operation. The code and the reason are those of the first error. */
export class Refusal extends Error {
  constructor(error) {
    super(error?.message ?? 'The server refused the operation.');
    this.code = error?.extensions?.code;
    this.reason = error?.extensions?.reason;
  }
}

/** Returns Basic credentials (RFC 7617) in UTF-8. */
export const basic = (username, password) => {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return 'Basic ' + btoa(String.fromCharCode(...bytes));
};

/**
 * Sends an operation and returns the answer. Throws an error for the user if there is none. `observe` is called with the
 * status, the duration in milliseconds and the size in bytes of the response.
 */
export const send = async (body, headers, observe = () => {}) => {
  const request = {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  };
  const began = performance.now();
  const unanswered = () => {
    throw new Error('The server does not answer.');
  };
  const response = await fetch(ENDPOINT, request).catch(unanswered);
  const bytes = await response.arrayBuffer().catch(unanswered);
  observe({ status: response.status, duration: performance.now() - began, size: bytes.byteLength });
  const answer = await new Response(bytes).json().catch(() => null);
  // For example, a proxy answers with a page of its own.
  if (!(answer instanceof Object)) throw new Error(`The answer is not GraphQL (status ${response.status}).`);
  return answer;
};

/** Returns the data of an operation. Throws the first error. `examine` is called with the answer. */
export const ask = async (query, variables, authorization, examine = () => {}) => {
  const answer = await send({ query, variables }, authorization ? { authorization } : {});
  examine(answer);
  if (answer.errors || !answer.data) throw new Refusal(answer.errors?.[0]);
  return answer.data;
};

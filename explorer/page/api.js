// Requests to the GraphQL endpoint. All URLs are relative, so that the page can be below any prefix.

export const ENDPOINT = 'graphql';

/** A refused operation. The code is that of the first error. */
export class Refusal extends Error {
  constructor({ message, extensions }) {
    super(message);
    this.code = extensions?.code;
  }
}

/** Returns Basic credentials (RFC 7617) in UTF-8. */
export const basic = (username, password) => {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return 'Basic ' + btoa(String.fromCharCode(...bytes));
};

/** Sends an operation and returns the answer. */
export const send = async (body, headers) => {
  const response = await fetch(ENDPOINT, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  });
  return response.json();
};

/** Returns the data of an operation. Throws the first error. `examine` is called with the answer. */
export const ask = async (query, variables, authorization, examine = () => {}) => {
  let answer;
  try {
    answer = await send({ query, variables }, authorization ? { authorization } : {});
  } catch {
    throw new Error('The server does not answer.');
  }
  examine(answer);
  if (answer.errors) throw new Refusal(answer.errors[0]);
  return answer.data;
};

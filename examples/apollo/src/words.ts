import { CombinedGraphQLErrors, ServerError } from "@apollo/client";

/** Returns the message of an error. The messages of Symbolon are written for users. */
export function words(error: unknown): string {
  if (CombinedGraphQLErrors.is(error)) {
    return error.errors.map(({ message }) => message).join(" ");
  }
  if (ServerError.is(error)) {
    return `The server answered with status ${error.statusCode}. Try again later.`;
  }
  return "The server cannot be reached. Try again later.";
}

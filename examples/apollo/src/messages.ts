import { CombinedGraphQLErrors, ServerError } from "@apollo/client";
import { SymbolonError, type Reason } from "@symbolon/client";

/** Why the session has ended. */
export const REASONS: Record<Reason, string> = {
  "signed-out": "",
  expired: "Your session has expired. Sign in again.",
  revoked: "Your session was ended, for example from another device or by a new password. Sign in again.",
};

/** Returns whether the role of the user does not permit the operation. */
export const isForbidden = (error: unknown) =>
  CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === "FORBIDDEN");

/** Returns an error message for users. Symbolon's own messages can be shown to users. */
export function messageOf(error: unknown): string {
  if (CombinedGraphQLErrors.is(error)) {
    return error.errors.map(({ message }) => message).join(" ");
  }
  if (error instanceof SymbolonError) return error.message;
  if (ServerError.is(error)) {
    return `The server answered with status ${error.statusCode}. Try again later.`;
  }
  return "The server cannot be reached. Try again later.";
}

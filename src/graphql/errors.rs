//! Errors in GraphQL responses. The `extensions` of each error contain a code and, for some codes, a
//! reason. Internal causes are logged, and not sent to the client.

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};

use crate::error::{DocumentError, Error};

/// Sets the code of each error in a response. Returns the error for which the request was refused, if
/// no field was executed.
///
/// - An [`Error`] is sent with its own code and message.
/// - Any other error that a resolver returned with `?` can contain internal data, such as a message of
///   the database. The error is logged, and replaced by an internal error.
/// - An error that a resolver created from a message is sent to the client. If such an error has no
///   code, `BAD_USER_INPUT` is added.
/// - An error without a path occurred before execution. Unless the error is an [`Error`], validation has
///   returned the error.
pub(crate) fn set_error_codes(response: &mut Response, request_id: &str) -> Option<Error> {
    let mut refused = None;
    for error in &mut response.errors {
        if let Some(source) = error.source::<Error>().cloned() {
            replace(error, &source, request_id);
            if error.path.is_empty() {
                refused.get_or_insert(source);
            }
        } else if error.source.is_some() {
            let cause = std::mem::take(&mut error.message);
            replace(error, &Error::internal(cause), request_id);
        } else if error.path.is_empty() {
            let invalid = refusal(&error.message);
            replace(error, &invalid, request_id);
            refused.get_or_insert(invalid);
        } else if extensions(error).get("code").is_none() {
            extensions(error).set("code", "BAD_USER_INPUT");
        }
    }
    refused.filter(|_| response.data == Value::Null)
}

/// The message with which async-graphql refuses a document that exceeds the limit on complexity.
pub(super) const TOO_COMPLEX: &str = "Query is too complex.";

/// Returns the error for a message with which async-graphql refuses a document.
pub(super) fn refusal(message: &str) -> Error {
    match message {
        TOO_COMPLEX => Error::LimitExceeded("complexity"),
        message => Error::GraphqlValidationFailed(message.replace('\n', " ")),
    }
}

/// Returns the response to a request that was refused before execution.
pub(crate) fn request_error_response(error: &Error, request_id: &str) -> Response {
    let mut server_error = ServerError::new("", None);
    replace(&mut server_error, error, request_id);
    let located = |located: &DocumentError| ServerError {
        message: located.message.clone(),
        locations: located.positions.iter().copied().map(Into::into).collect(),
        ..server_error.clone()
    };
    Response::from_errors(match error {
        Error::GraphqlParseFailed(error) => vec![located(error)],
        Error::InvalidDocument(errors) | Error::InvalidVariables(errors) => {
            errors.iter().map(located).collect()
        }
        _ => vec![server_error],
    })
}

/// Logs `error`, and copies its message and its extensions to `server_error`, which is sent to the
/// client.
fn replace(server_error: &mut ServerError, error: &Error, request_id: &str) {
    error.log(request_id);
    let details = error.details();
    server_error.message = details.message.into_owned();
    let extensions = extensions(server_error);
    extensions.set("code", details.code);
    if let Some(reason) = details.reason {
        extensions.set("reason", reason);
    }
    if let Some(retry_after) = details.retry_after {
        extensions.set("retryAfter", retry_after);
    }
    if let Some(limit) = details.limit {
        extensions.set("limit", limit);
    }
    if let Error::Internal(_) = error {
        extensions.set("requestId", request_id);
    }
}

fn extensions(error: &mut ServerError) -> &mut ErrorExtensionValues {
    error.extensions.get_or_insert_default()
}

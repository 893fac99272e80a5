//! Tell errors the way the contract says: `extensions.code` and `reason`, and nothing internal.

use async_graphql::{ErrorExtensionValues, Response, ServerError};

use crate::error::Error;

/// Gives every error of a response its code.
///
/// An error of Symbolon's own is recognised by its type. Any other error that a resolver passed on
/// with `?` may hold anything, a database's text for example: it is logged and masked. One that a
/// resolver wrote as a message for its clients is theirs and stays. What has no path was refused
/// before anything was executed.
pub(crate) fn apply_contract(response: &mut Response, request_id: &str) {
    for error in &mut response.errors {
        if let Some(ours) = error.source::<Error>().cloned() {
            tell(error, &ours, request_id);
        } else if error.source.is_some() {
            let cause = std::mem::take(&mut error.message);
            tell(error, &Error::internal(cause), request_id);
        } else if error.path.is_empty() {
            extensions(error).set("code", "GRAPHQL_VALIDATION_FAILED");
        } else if extensions(error).get("code").is_none() {
            extensions(error).set("code", "BAD_USER_INPUT");
        }
    }
}

/// A response to a request that was refused whole.
pub(crate) fn refused(error: &Error, request_id: &str) -> Response {
    let mut told = ServerError::new("", None);
    tell(&mut told, error, request_id);
    Response::from_errors(vec![told])
}

fn tell(told: &mut ServerError, error: &Error, request_id: &str) {
    error.log(request_id);
    let answer = error.answer();
    told.message = answer.message.into_owned();
    let extensions = extensions(told);
    extensions.set("code", answer.code);
    if let Some(reason) = answer.reason {
        extensions.set("reason", reason);
    }
    if let Some(retry_after) = answer.retry_after {
        extensions.set("retryAfter", retry_after);
    }
    if let Some(limit) = answer.limit {
        extensions.set("limit", limit);
    }
    if let Error::Internal(_) = error {
        extensions.set("requestId", request_id);
    }
}

fn extensions(error: &mut ServerError) -> &mut ErrorExtensionValues {
    error.extensions.get_or_insert_default()
}

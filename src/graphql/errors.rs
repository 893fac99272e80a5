//! Tell errors the way the contract says: `extensions.code` and `reason`, and nothing internal.

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};

use crate::error::Error;

/// Gives every error of a response its code; the error that it was refused with, if it was before
/// anything was executed.
///
/// An error of Symbolon's own is recognised by its type. Any other error that a resolver passed on
/// with `?` may hold anything, a database's text for example: it is logged and masked. One that a
/// resolver wrote as a message for its clients is theirs and stays. What has no path was refused
/// before anything was executed.
pub(crate) fn apply_contract(response: &mut Response, request_id: &str) -> Option<Error> {
    let mut refused = None;
    for error in &mut response.errors {
        if let Some(ours) = error.source::<Error>().cloned() {
            tell(error, &ours, request_id);
            if error.path.is_empty() {
                refused.get_or_insert(ours);
            }
        } else if error.source.is_some() {
            let cause = std::mem::take(&mut error.message);
            tell(error, &Error::internal(cause), request_id);
        } else if error.path.is_empty() {
            let why = match error.message.as_str() {
                "Query is too complex." => Error::LimitExceeded("complexity"),
                message => Error::GraphqlValidationFailed(message.replace('\n', " ")),
            };
            tell(error, &why, request_id);
            refused.get_or_insert(why);
        } else if extensions(error).get("code").is_none() {
            extensions(error).set("code", "BAD_USER_INPUT");
        }
    }
    refused.filter(|_| response.data == Value::Null)
}

/// A response to a request that was refused whole.
pub(crate) fn refused(error: &Error, request_id: &str) -> Response {
    let mut told = ServerError::new("", None);
    tell(&mut told, error, request_id);
    Response::from_errors(vec![told])
}

fn tell(told: &mut ServerError, error: &Error, request_id: &str) {
    error.log(request_id);
    let answer = error.details();
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

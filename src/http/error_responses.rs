//! Tell errors outside GraphQL: status, challenge and a JSON body.

use poem::error::ResponseError;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::Json;
use poem::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, Forbidden, Unauthenticated};

/// What a refusal asks for (RFC 9110, section 11.6.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Challenge<'a> {
    /// RFC 7617. Browsers pop up a dialog at this.
    Basic,
    /// RFC 6750.
    Bearer,
    /// The same, of a token with these scopes.
    Scopes(&'a [String]),
}

/// The answer to a request that is refused whole.
pub(super) fn refuse(error: &Error, challenge: Challenge<'_>, request_id: &str) -> Response {
    error.log(request_id);
    let answer = error.details();
    let status = status(error);
    let mut body = json!({
        "error": status.canonical_reason(),
        "message": answer.message,
        "code": answer.code,
    });
    if let Some(reason) = answer.reason {
        body["reason"] = reason.into();
    }
    if let Some(retry_after) = answer.retry_after {
        body["retryAfter"] = retry_after.into();
    }
    if let Error::Internal(_) = error {
        body["requestId"] = request_id.into();
    }
    let mut response = Json(body)
        .with_status(status)
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response();
    let headers = response.headers_mut();
    if let Error::Unauthenticated(why) = error {
        let challenge = match (challenge, why) {
            (Challenge::Basic, _) => r#"Basic realm="symbolon", charset="UTF-8""#,
            (_, Unauthenticated::TokenInvalid | Unauthenticated::TokenExpired) => {
                r#"Bearer realm="symbolon", error="invalid_token""#
            }
            (_, _) => r#"Bearer realm="symbolon""#,
        };
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
    if let (Error::Forbidden(Forbidden::ScopeRequired), Challenge::Scopes(scopes)) =
        (error, challenge)
    {
        // RFC 6750, section 3.1.
        let scopes = scopes.join(" ");
        let challenge =
            format!(r#"Bearer realm="symbolon", error="insufficient_scope", scope="{scopes}""#);
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    add_headers(error, headers);
    response
}

/// What an error says in headers, through whichever state.
pub(super) fn add_headers(error: &Error, headers: &mut HeaderMap) {
    match error {
        Error::MethodNotAllowed(methods) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        // What the client may still be sending is not read.
        Error::RequestTimeout | Error::PayloadTooLarge => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    if let Some(retry_after) = error.details().retry_after {
        headers.insert(header::RETRY_AFTER, retry_after.into());
    }
}

/// The status of a request that is refused whole.
pub(super) fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.details().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// For routes that an embedder left without the [`Middleware`](crate::Middleware).
impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        status(self)
    }

    fn as_response(&self) -> Response {
        refuse(self, Challenge::Bearer, "none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_lacks_a_scope_reads_which_ones_it_takes() {
        let scopes = ["notes:read".to_owned(), "notes:write".to_owned()];
        let asked = |error: Error| {
            let response = refuse(&error, Challenge::Scopes(&scopes), "id");
            let header = response.headers().get(header::WWW_AUTHENTICATE).cloned();
            (response.status().as_u16(), header)
        };
        let lacking = HeaderValue::from_static(
            r#"Bearer realm="symbolon", error="insufficient_scope", scope="notes:read notes:write""#,
        );
        assert_eq!(asked(Forbidden::ScopeRequired.into()), (403, Some(lacking)));
        // Another token of the same user would not help.
        assert_eq!(asked(Forbidden::RoleRequired.into()), (403, None));
        let anybody = HeaderValue::from_static(r#"Bearer realm="symbolon""#);
        assert_eq!(asked(Unauthenticated::Missing.into()), (401, Some(anybody)));
    }
}

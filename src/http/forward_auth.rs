//! `/auth` and `/auth/…`: authenticates requests to other services on behalf of a reverse proxy.
//!
//! Proxies send a copy of the head of each request, with the original method or `GET`, and with the original path
//! appended or not. The response therefore depends only on the `Authorization` header and, at `/auth`, on the query,
//! which the proxy sets.

use std::fmt::Write;
use std::sync::Arc;

use poem::http::{HeaderValue, header};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, Response, handler};
use tokio::time::timeout;

use crate::error::Error;
use crate::http::cross_origin::NoPreflight;
use crate::http::error_responses::{Challenge, error_response};
use crate::http::middleware::RequestContext;
use crate::http::request_body;
use crate::http::state::AppState;
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::scopes::is_scope;
use crate::model::user::Role;

/// `/auth`: responds with 200 if the token has the scopes and the role that the query string requires.
#[handler]
pub(super) async fn check(
    request: &Request,
    body: Body,
    context: RequestContext,
    Data(state): Data<&Arc<AppState>>,
) -> Response {
    let response = match parse_query(request) {
        Ok((scopes, role)) => authenticate(&context, state, &scopes, role).await,
        Err(error) => error_response(&error, Challenge::Bearer, &context.id),
    };
    complete(response, request, body).await
}

/// `/auth/…`: responds with 200 if the token is valid. Proxies append the path and the query of the client, so the
/// query requires nothing.
#[handler]
pub(super) async fn check_any(
    request: &Request,
    body: Body,
    context: RequestContext,
    Data(state): Data<&Arc<AppState>>,
) -> Response {
    let response = authenticate(&context, state, &[], Role::User).await;
    complete(response, request, body).await
}

/// The response headers `X-Auth-*` describe the identity of the token. Request headers with these names are ignored,
/// because a client can send them.
async fn authenticate(
    context: &RequestContext,
    state: &AppState,
    scopes: &[String],
    role: Role,
) -> Response {
    let required: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let requirement = Requirement::token(&required).with_role(role);
    let identity = context.authentication.require_token(&requirement);
    let identity = timeout(state.request_timeout(), identity).await;
    match identity.unwrap_or(Err(Error::TimedOut)) {
        Ok(identity) => identity_response(&identity),
        Err(error) => error_response(&error, Challenge::BearerWithScopes(scopes), &context.id),
    }
}

/// Ignores the body of the request. Adds the marker with which the middleware does not answer a CORS preflight request:
/// the proxy would accept the request, because the status of the answer is 2xx.
async fn complete(mut response: Response, request: &Request, body: Body) -> Response {
    if !request_body::ignore(request.headers(), body).await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response.set_data(NoPreflight);
    response
}

fn identity_response(identity: &Identity) -> Response {
    let user = identity.user();
    let role = match user.role {
        Role::User => "USER",
        Role::Admin => "ADMIN",
    };
    ().with_header("x-auth-user-id", user.id.to_string())
        .with_header("x-auth-username", percent_encode(&user.username))
        .with_header("x-auth-role", role)
        .with_header("x-auth-scopes", identity.scopes().join(" "))
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response()
}

/// Encodes all bytes except the unreserved characters of RFC 3986 and `@`. Services differ in how they decode bytes
/// outside ASCII in a header.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Parses the scopes and the role that the token must have. An unknown parameter is an error, because a
/// misspelled requirement must not grant access.
fn parse_query(request: &Request) -> Result<(Vec<String>, Role), Error> {
    let bad_request = |message: &str| Error::BadRequest(message.to_owned());
    let parameters = request
        .params::<Vec<(String, String)>>()
        .map_err(|_| bad_request("The query string is malformed."))?;
    let (mut scopes, mut role) = (Vec::new(), Role::User);
    for (name, value) in parameters {
        match name.as_str() {
            "scope" if is_scope(&value) => scopes.push(value),
            "scope" => {
                return Err(bad_request(
                    "`scope` must be a single scope. Repeat the parameter for several scopes.",
                ));
            }
            "role" if value.eq_ignore_ascii_case("user") => {}
            "role" if value.eq_ignore_ascii_case("admin") => role = Role::Admin,
            "role" => return Err(bad_request("`role` must be `user` or `admin`.")),
            _ => {
                return Err(bad_request(
                    "Only the parameters `scope` and `role` are allowed.",
                ));
            }
        }
    }
    Ok((scopes, role))
}

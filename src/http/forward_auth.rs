//! `GET /auth`: authenticates requests to other services on behalf of a reverse proxy.

use poem::http::{HeaderValue, header};
use poem::{IntoResponse, Request, Response, handler};

use crate::error::Error;
use crate::http::error_responses::{Challenge, error_response};
use crate::http::middleware::RequestContext;
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::scopes::is_scope;
use crate::model::user::Role;

/// Responds with 200 if the Bearer token has the scopes and the role that the query string requires.
/// The response headers `X-Auth-*` describe the identity of the token. Request headers with these names
/// are ignored, because a client can send them.
#[handler]
pub(super) async fn check(request: &Request, context: RequestContext) -> poem::Result<Response> {
    let (scopes, role) = parse_query(request)?;
    let required: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let requirement = Requirement::token(&required).with_role(role);
    match context.authentication.require(&requirement).await {
        Ok(identity) => Ok(identity_response(&identity)?),
        Err(error) => {
            let challenge = Challenge::BearerWithScopes(&scopes);
            Ok(error_response(&error, challenge, &context.id))
        }
    }
}

fn identity_response(identity: &Identity) -> Result<Response, Error> {
    let user = identity.user();
    let role = match user.role {
        Role::User => "USER",
        Role::Admin => "ADMIN",
    };
    let username = HeaderValue::from_bytes(user.username.as_bytes()).map_err(Error::internal)?;
    Ok(
        ().with_header("x-auth-user-id", user.id.to_string())
            .with_header("x-auth-username", username)
            .with_header("x-auth-role", role)
            .with_header("x-auth-scopes", identity.scopes().join(" "))
            .with_header(header::CACHE_CONTROL, "no-store")
            .into_response(),
    )
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

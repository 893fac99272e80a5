//! `GET /auth`: who is asking, for a reverse proxy that stands before other services.

use poem::http::{HeaderValue, header};
use poem::{IntoResponse, Request, Response, handler};

use crate::error::Error;
use crate::http::error_responses::{Challenge, refuse};
use crate::http::request_context::RequestContext;
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::scopes::is_scope;
use crate::model::user::Role;

/// Says in headers whom the Bearer token speaks for, if what the query names is met. Such headers
/// that arrive are not read: a client may have written them.
#[handler]
pub(super) async fn check(request: &Request, context: RequestContext) -> poem::Result<Response> {
    let needed = Needed::read(request)?;
    let scopes: Vec<&str> = needed.scopes.iter().map(String::as_str).collect();
    let requirement = Requirement::token(&scopes).with_role(needed.role);
    let answer = match context.authentication.require(&requirement).await {
        Ok(identity) => told(&identity)?,
        Err(error) => refuse(&error, Challenge::Scopes(&needed.scopes), &context.id),
    };
    Ok(answer)
}

fn told(identity: &Identity) -> Result<Response, Error> {
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

/// What a service asks of whoever calls it: all of it.
#[derive(Debug)]
struct Needed {
    scopes: Vec<String>,
    role: Role,
}

impl Needed {
    /// Whatever is not understood is refused: a requirement that is misspelt must not let anybody in.
    fn read(request: &Request) -> Result<Self, Error> {
        let bad = |why: &str| Error::BadRequest(why.to_owned());
        let parameters = request
            .params::<Vec<(String, String)>>()
            .map_err(|_| bad("The query is not one of names and values."))?;
        let mut needed = Self {
            scopes: Vec::new(),
            role: Role::User,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "scope" if is_scope(&value) => needed.scopes.push(value),
                "scope" => return Err(bad("`scope` is one scope; repeat it for several.")),
                "role" if value.eq_ignore_ascii_case("user") => {}
                "role" if value.eq_ignore_ascii_case("admin") => needed.role = Role::Admin,
                "role" => return Err(bad("`role` is `user` or `admin`.")),
                _ => return Err(bad("The parameters are `scope` and `role`.")),
            }
        }
        Ok(needed)
    }
}

//! `/tokens`: the session token without GraphQL, as the Flask original has it.

use poem::http::{StatusCode, header};
use poem::web::Json;
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::http::context::RequestContext;
use crate::http::errors::{Challenge, refuse};
use crate::http::to_its_end;

/// `POST /tokens`: trades Basic credentials for the session token.
#[handler]
pub(super) async fn create(context: RequestContext) -> Response {
    let authentication = context.authentication.clone();
    let issued = to_its_end(async move { authentication.create_token(None, false).await })
        .await
        .flatten();
    match issued {
        Ok(issued) => Json(json!({
            "token": issued.token.reveal(),
            "expires_at": issued.expires_at.to_rfc3339(),
        }))
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response(),
        Err(error) => refuse(&error, Challenge::Basic, &context.id),
    }
}

/// `DELETE /tokens`: ends the Bearer token. One that is already dead is no error.
#[handler]
pub(super) async fn revoke(context: RequestContext) -> Response {
    let authentication = context.authentication.clone();
    let ended = to_its_end(async move { authentication.revoke_token().await })
        .await
        .flatten();
    match ended {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&error, Challenge::Bearer, &context.id),
    }
}

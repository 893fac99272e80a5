//! `/tokens`: creates and revokes session tokens without GraphQL, as the original Flask application does.

use std::time::Duration;

use futures_util::FutureExt;
use poem::http::{StatusCode, header};
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::error::Error;
use crate::http::error_responses::{Challenge, error_response};
use crate::http::middleware::RequestContext;
use crate::service::request_authentication::Authentication;
use crate::service::run_to_completion;
use crate::service::sessions::TokenOptions;

/// `POST /tokens`: returns the session token of the user whose Basic credentials the request contains.
#[handler]
pub(super) async fn create(context: RequestContext, Data(timeout): Data<&Duration>) -> Response {
    let create =
        |caller: Authentication| async move { caller.create_token(TokenOptions::default()).await };
    match run(&context, *timeout, create).await {
        Ok(issued) => Json(json!({
            "token": issued.token.reveal(),
            "expires_at": issued.expires_at.to_rfc3339(),
        }))
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response(),
        Err(error) => error_response(&error, Challenge::Basic, &context.id),
    }
}

/// `DELETE /tokens`: revokes the Bearer token. An expired token does not cause an error.
#[handler]
pub(super) async fn revoke(context: RequestContext, Data(timeout): Data<&Duration>) -> Response {
    let revoke = |caller: Authentication| async move { caller.revoke_token().await };
    match run(&context, *timeout, revoke).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_response(&error, Challenge::Bearer, &context.id),
    }
}

/// Runs a change to completion, but waits for at most `timeout`. Cross-origin requests are refused,
/// because browsers can send a `POST` without a preflight request.
async fn run<T, F>(
    context: &RequestContext,
    timeout: Duration,
    change: impl FnOnce(Authentication) -> F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    context.refuse_cross_origin()?;
    let change = change(context.authentication.clone());
    run_to_completion(timeout, change.boxed()).await?
}

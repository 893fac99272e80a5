//! `/tokens`: the session token without GraphQL, as the Flask original has it.

use std::time::Duration;

use futures_util::FutureExt;
use poem::http::{StatusCode, header};
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::error::Error;
use crate::http::error_responses::{Challenge, refuse};
use crate::http::request_context::RequestContext;
use crate::service::authentication::Authentication;
use crate::service::run_to_completion;
use crate::service::sessions::TokenOptions;

/// `POST /tokens`: trades Basic credentials for the session token.
#[handler]
pub(super) async fn create(context: RequestContext, Data(limit): Data<&Duration>) -> Response {
    let create =
        |own: Authentication| async move { own.create_token(TokenOptions::default()).await };
    match changes(&context, *limit, create).await {
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
pub(super) async fn revoke(context: RequestContext, Data(limit): Data<&Duration>) -> Response {
    let revoke = |own: Authentication| async move { own.revoke_token().await };
    match changes(&context, *limit, revoke).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&error, Challenge::Bearer, &context.id),
    }
}

/// Changes something, unless a browser asks for it for a page of another origin.
async fn changes<T, F>(
    context: &RequestContext,
    limit: Duration,
    change: impl FnOnce(Authentication) -> F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    context.refuse_foreign()?;
    let change = change(context.authentication.clone());
    run_to_completion(limit, change.boxed()).await?
}

//! `/tokens`: creates and revokes session tokens without GraphQL, as the original Flask application does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use poem::http::{StatusCode, header};
use poem::web::{Data, Json};
use poem::{Body, IntoResponse, Request, Response, handler};
use serde_json::{Value, json};

use crate::error::Error;
use crate::http::error_responses::{Challenge, error_response};
use crate::http::metrics::TOKENS_ENDPOINT;
use crate::http::middleware::RequestContext;
use crate::http::request_body;
use crate::http::state::AppState;
use crate::model::timestamp::rfc3339;
use crate::service::request_authentication::Authentication;
use crate::service::run_to_completion;
use crate::service::token_options::TokenRequest;

/// `POST /tokens`: returns the session token of the user whose Basic credentials the request contains. If the body
/// is a JSON object with the member `device`, starts a session for this device. Other bodies are ignored, except invalid
/// JSON: a client that intends to start a device session must not get the shared session.
#[handler]
pub(super) async fn create(
    request: &Request,
    body: Body,
    context: RequestContext,
    Data(state): Data<&Arc<AppState>>,
) -> Response {
    let created = async {
        let body = request_body::read(request.headers(), body, state).await?;
        let device = device(request, &body)?;
        let requested = TokenRequest::parse(TOKENS_ENDPOINT, None, false, device.as_deref())?;
        let create = |caller: Authentication| async move { caller.create_token(requested).await };
        run(&context, state.request_timeout(), create).await
    };
    match created.await {
        Ok(issued) => Json(json!({
            "token": issued.token.0,
            "expires_at": rfc3339(issued.expires_at),
        }))
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response(),
        Err(error) => error_response(&error, Challenge::Basic, &context.id),
    }
}

/// `DELETE /tokens`: revokes the Bearer token. An expired token does not cause an error.
#[handler]
pub(super) async fn revoke(context: RequestContext, Data(state): Data<&Arc<AppState>>) -> Response {
    let revoke = |caller: Authentication| async move { caller.revoke_token().await };
    match run(&context, state.request_timeout(), revoke).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_response(&error, Challenge::Bearer, &context.id),
    }
}

/// Returns the member `device` of a JSON object. Returns `None` for all other bodies, because clients of the original
/// Flask application can send any body. Refuses a body that is meant as JSON, but is not valid JSON.
fn device(request: &Request, body: &[u8]) -> Result<Option<String>, Error> {
    // Some clients declare the type of an empty body.
    if body.trim_ascii().is_empty() || !(declares_json(request) || begins_as_object(body)) {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Error::BadRequest(format!("The body is not valid JSON: {error}.")))?;
    match body.get("device") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(device)) => Ok(Some(device.clone())),
        Some(_) => Err(Error::BadUserInput("`device` must be a string.".to_owned())),
    }
}

/// Returns whether the media type is `application/json`, or a type with the suffix `+json` (RFC 6839).
fn declares_json(request: &Request) -> bool {
    let media_type = request.content_type().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Returns whether the first character after a byte order mark and whitespace is `{`. Many clients send JSON without its
/// media type.
fn begins_as_object(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().starts_with(b"{")
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

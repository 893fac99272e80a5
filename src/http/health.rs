//! `/healthz` and `/readyz`, for whoever keeps the process running and sends it requests.

use poem::handler;

use crate::http::request_context::RequestContext;

/// Answers while the process lives.
#[handler]
pub(super) fn alive() -> &'static str {
    "ok\n"
}

/// Answers while requests that need the database can be served; 503 while they cannot.
#[handler]
pub(super) async fn ready(context: RequestContext) -> poem::Result<&'static str> {
    Box::pin(context.authentication.services().ready()).await?;
    Ok("ready\n")
}

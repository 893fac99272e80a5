//! `/healthz` and `/readyz`, for process supervisors and load balancers.

use poem::handler;

use crate::http::request_context::RequestContext;

/// Answers 200 while the process runs.
#[handler]
pub(super) fn alive() -> &'static str {
    "ok\n"
}

/// Answers 200 while the database is available, and 503 otherwise.
#[handler]
pub(super) async fn ready(context: RequestContext) -> poem::Result<&'static str> {
    context.authentication.services().ready().await?;
    Ok("ready\n")
}

//! `/healthz` and `/readyz`, for process supervisors and load balancers.

use std::sync::Arc;

use poem::handler;
use poem::web::Data;

use crate::service::Services;

/// Answers 200 while the process runs.
#[handler]
pub(super) fn alive() -> &'static str {
    "ok\n"
}

/// Answers 200 while the database is available, and 503 otherwise.
#[handler]
pub(super) async fn ready(Data(services): Data<&Arc<Services>>) -> poem::Result<&'static str> {
    Box::pin(services.ready()).await?;
    Ok("ready\n")
}

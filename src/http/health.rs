//! `/healthz` and `/readyz`, for process supervisors and load balancers.

use std::sync::Arc;

use poem::handler;
use poem::web::Data;

use crate::service::Services;

/// Responds with 200 while the process is running.
#[handler]
pub(super) fn alive() -> &'static str {
    "ok\n"
}

/// Responds with 200 if the database is available, and with 503 otherwise.
#[handler]
pub(super) async fn ready(Data(services): Data<&Arc<Services>>) -> poem::Result<&'static str> {
    Box::pin(services.ready()).await?;
    Ok("ready\n")
}

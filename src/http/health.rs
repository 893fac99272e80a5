//! `/healthz` and `/readyz`, for whoever keeps the process running and sends it requests.

use std::sync::Arc;

use poem::handler;
use poem::web::Data;

use crate::service::Services;

/// Answers while the process lives.
#[handler]
pub(super) fn alive() -> &'static str {
    "ok\n"
}

/// Answers while requests that need the database can be served; 503 while they cannot.
#[handler]
pub(super) async fn ready(Data(services): Data<&Arc<Services>>) -> poem::Result<&'static str> {
    Box::pin(services.ready()).await?;
    Ok("ready\n")
}

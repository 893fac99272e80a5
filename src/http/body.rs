//! Read a body: bounded in bytes and time.

use std::time::Duration;

use poem::Request;
use poem::http::header::CONTENT_LENGTH;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::config::HttpConfig;
use crate::error::Error;

/// A client that sends too much reads no answer before it is done, so that much is read and dropped.
const DRAINED_BYTES: u64 = 2 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// The whole body.
pub(super) async fn read(request: &mut Request, config: &HttpConfig) -> Result<Vec<u8>, Error> {
    let declared = request
        .header(CONTENT_LENGTH)
        .and_then(|value| value.parse().ok());
    let mut body = request.take_body().into_async_read();
    let limit = config.body_limit as u64;
    let mut bytes = Vec::new();
    if declared.is_none_or(|declared: u64| declared <= limit) {
        let mut within = (&mut body).take(limit + 1);
        let deadline = Duration::from_secs(config.read_timeout);
        timeout(deadline, within.read_to_end(&mut bytes))
            .await
            .map_err(|_| Error::RequestTimeout)?
            .map_err(|_| Error::BadRequest("The body did not arrive whole.".to_owned()))?;
        if bytes.len() as u64 <= limit {
            return Ok(bytes);
        }
    }
    drain(&mut body).await;
    Err(Error::PayloadTooLarge)
}

/// Ends early when the client does, or takes its time.
async fn drain(body: &mut (impl AsyncRead + Unpin)) {
    let mut rest = body.take(DRAINED_BYTES);
    let _ = timeout(
        DRAINED_FOR,
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await;
}

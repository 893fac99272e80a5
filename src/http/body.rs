//! Read a body: bounded in bytes and time.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use poem::Request;
use poem::http::header::CONTENT_LENGTH;
use tokio::time::timeout;

use crate::config::HttpConfig;
use crate::error::Error;

/// A client that sends too much reads no answer before it is done, so that much is read and dropped.
const DRAINED_BYTES: usize = 2 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// The whole body.
pub(super) async fn read(request: &mut Request, config: &HttpConfig) -> Result<Vec<u8>, Error> {
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = request.take_body().into_bytes_stream();
    let limit = config.body_limit;
    if declared.is_none_or(|declared: usize| declared <= limit) {
        let deadline = Duration::from_secs(config.read_timeout);
        let read = timeout(deadline, within(&mut body, limit)).await;
        if let Some(bytes) = read.map_err(|_| Error::RequestTimeout)?? {
            return Ok(bytes);
        }
    }
    let _ = timeout(DRAINED_FOR, drain(&mut body)).await;
    Err(Error::PayloadTooLarge)
}

/// `None` if there is more than `limit`.
async fn within<C, E>(
    body: &mut (impl Stream<Item = Result<C, E>> + Unpin),
    limit: usize,
) -> Result<Option<Vec<u8>>, Error>
where
    C: AsRef<[u8]>,
{
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|_| Error::BadRequest("The body did not arrive whole.".to_owned()))?;
        if bytes.len() + chunk.as_ref().len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(chunk.as_ref());
    }
    Ok(Some(bytes))
}

/// Ends early when the client does.
async fn drain<C: AsRef<[u8]>, E>(body: &mut (impl Stream<Item = Result<C, E>> + Unpin)) {
    let mut drained = 0;
    while let Some(Ok(chunk)) = body.next().await
        && drained < DRAINED_BYTES
    {
        drained += chunk.as_ref().len();
    }
}

//! Read a body: bounded in bytes and time, and all together in memory.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use poem::Request;
use poem::http::header::CONTENT_LENGTH;
use tokio::time::timeout;

use crate::error::Error;
use crate::http::AppState;
use crate::http::capacity::{Budget, FREE_BYTES, Reserved};

/// A client that sends too much reads no answer before it is done, so that much is read and dropped.
const DRAINED_BYTES: usize = 2 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Reads the whole body. A body that is larger than a small one is refused while the memory for incomplete
/// requests is used up.
pub(super) async fn read(request: &mut Request, state: &AppState) -> Result<Vec<u8>, Error> {
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = request.take_body().into_bytes_stream();
    let limit = state.http.body_limit;
    let refusal = if declared.is_none_or(|declared: usize| declared <= limit) {
        let deadline = Duration::from_secs(state.http.read_timeout);
        let read = within(&mut body, limit, &state.capacity.incomplete);
        match timeout(deadline, read).await {
            Err(_) => return Err(Error::RequestTimeout),
            Ok(Err(error @ (Error::ServiceUnavailable { .. } | Error::PayloadTooLarge))) => error,
            Ok(read) => return read,
        }
    } else {
        Error::PayloadTooLarge
    };
    let _ = timeout(DRAINED_FOR, drain(&mut body)).await;
    Err(refusal)
}

/// Reads a body that has at most `limit` bytes. Memory is taken as the bytes arrive, whatever length was
/// declared.
async fn within<C, E>(
    body: &mut (impl Stream<Item = Result<C, E>> + Unpin),
    limit: usize,
    budget: &Budget,
) -> Result<Vec<u8>, Error>
where
    C: AsRef<[u8]>,
{
    let mut bytes = Vec::new();
    let mut reserved = Reserved::default();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|_| Error::BadRequest("The body did not arrive whole.".to_owned()))?;
        let chunk = chunk.as_ref();
        let needed = bytes.len() + chunk.len();
        if needed > limit {
            return Err(Error::PayloadTooLarge);
        }
        if needed > bytes.capacity() {
            let doubled = bytes.capacity().saturating_mul(2).max(FREE_BYTES);
            let capacity = needed.max(doubled.min(limit));
            if !budget.reserve(&mut reserved, capacity) {
                return Err(Error::ServiceUnavailable { retry_after: 1 });
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes)
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

//! Reads request bodies into memory, with limits on their size and on the time.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use poem::Body;
use poem::http::HeaderMap;
use poem::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use tokio::time::timeout;

use crate::error::Error;
use crate::http::memory_budget::Reservation;
use crate::http::state::AppState;

/// The maximum size of a refused body that is read and discarded before the response is sent. Most
/// clients read a response only after they have sent the whole body.
const MAX_DISCARDED_BYTES: usize = 2 * 1024 * 1024;
/// The maximum time for discarding a refused body.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum time for which a response waits for a body that it does not depend on.
const IGNORE_TIMEOUT: Duration = Duration::from_millis(10);

/// Reads the whole body. Refuses a body that has a content coding or is too large, or for which the memory
/// budget has too little free memory.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    state: &AppState,
) -> Result<Vec<u8>, Error> {
    let declared = headers.get(CONTENT_LENGTH);
    let declared: Option<usize> = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = body.into_bytes_stream();
    let limit = state.http.body_limit;
    let error = if is_encoded(headers) {
        Error::EncodedBody
    } else if declared.is_some_and(|declared| declared > limit) {
        Error::PayloadTooLarge
    } else {
        let read = read_stream(&mut body, limit, state.memory_budget.reservation());
        match timeout(state.read_timeout(), read).await {
            Err(_) => return Err(Error::RequestTimeout),
            Ok(Err(error @ (Error::ServiceUnavailable { .. } | Error::PayloadTooLarge))) => error,
            Ok(read) => return read,
        }
    };
    let _ = timeout(DISCARD_TIMEOUT, discard(&mut body)).await;
    Err(error)
}

/// Reads a body of at most `limit` bytes. Memory is reserved as bytes arrive, because a client can
/// declare a length without sending that many bytes.
async fn read_stream<C: AsRef<[u8]>, E>(
    body: &mut (impl Stream<Item = Result<C, E>> + Unpin),
    limit: usize,
    mut reservation: Reservation,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let incomplete = |_| Error::BadRequest("The body is incomplete.".to_owned());
        let chunk = chunk.map_err(incomplete)?;
        let chunk = chunk.as_ref();
        let needed = bytes.len() + chunk.len();
        if needed > limit {
            return Err(Error::PayloadTooLarge);
        }
        if needed > bytes.capacity() {
            let doubled = bytes.capacity().saturating_mul(2);
            let capacity = needed.max(doubled.min(limit));
            if !reservation.try_grow(capacity) {
                return Err(Error::ServiceUnavailable { retry_after: 1 });
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes)
}

/// Returns whether the body has a content coding (RFC 9110, section 8.4) other than `identity`.
fn is_encoded(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Discards a body that the response does not depend on. Returns whether the client can send its next request on the
/// same connection. If the body is not complete within 10 ms, the response is sent before the body has arrived, and the
/// connection must be closed: some reverse proxies send the headers of a body, but not the body, so the next request
/// would count as the body.
pub(super) async fn ignore(headers: &HeaderMap, body: Body) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    let has_length = length.is_some_and(|length| length != "0");
    if !has_length && !headers.contains_key(TRANSFER_ENCODING) {
        return true;
    }
    // A client that waits for `100 Continue` does not send the body if it gets the response instead.
    if headers.contains_key(EXPECT) {
        return false;
    }
    let mut body = body.into_bytes_stream();
    let mut discarding = Box::pin(async move { discard(&mut body).await });
    if let Ok(is_complete) = timeout(IGNORE_TIMEOUT, &mut discarding).await {
        return is_complete;
    }
    // If the server closed the connection while the client is sending, the client would lose the response.
    tokio::spawn(timeout(DISCARD_TIMEOUT, discarding));
    false
}

/// Discards a body. Returns whether the body was read to its end.
async fn discard<C: AsRef<[u8]>, E>(body: &mut (impl Stream<Item = Result<C, E>> + Unpin)) -> bool {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED_BYTES {
        match body.next().await {
            Some(Ok(chunk)) => discarded += chunk.as_ref().len(),
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    false
}

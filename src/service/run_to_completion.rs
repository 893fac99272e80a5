//! Runs work that neither a disconnected client nor a timeout interrupts.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::error::Error;

/// Runs `work`, and waits for the result for at most `limit`. If `work` does not complete at the first poll, it
/// continues in a new task. The task continues even if `limit` is exceeded or the caller drops this future. A
/// panic in `work` becomes an internal error.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    limit: Duration,
    work: BoxFuture<'static, T>,
) -> Result<T, Error> {
    let mut work = AssertUnwindSafe(work).catch_unwind();
    let result = match poll_fn(|cx| Poll::Ready(work.poll_unpin(cx))).await {
        Poll::Ready(result) => result,
        Poll::Pending => match timeout(limit, tokio::spawn(work)).await {
            Ok(joined) => joined.map_err(Error::internal)?,
            Err(_) => return Err(Error::TimedOut),
        },
    };
    result.map_err(|_| Error::internal("a request panicked"))
}

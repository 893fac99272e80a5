//! Background tasks, which are restarted after a panic.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// The pause between the panic of a task and its restart.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Runs a background task until it ends. After a panic, logs the name of the task and restarts it.
///
/// Every background task runs in this function. `tests/architecture.rs` checks this rule.
pub(crate) async fn supervise<F>(name: &'static str, start: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    // `start` is called inside the block so that a panic before the first `await` is also caught.
    let run = || AssertUnwindSafe(async { start().await }).catch_unwind();
    while let Err(panic) = run().await {
        let message = (panic.downcast_ref::<&str>().copied())
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(
            task = name,
            panic = message,
            "a background task has panicked and will be restarted"
        );
        sleep(RESTART_PAUSE).await;
    }
}

/// Starts a background task that runs `work` once per `period` until `state` is dropped.
pub(crate) fn repeat<T, F>(
    name: &'static str,
    period: Duration,
    state: &Arc<T>,
    work: impl Fn(Arc<T>) -> F + Send + Sync + 'static,
) where
    T: Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (state, work) = (Arc::downgrade(state), Arc::new(work));
    let run = move || {
        let (state, work) = (Weak::clone(&state), Arc::clone(&work));
        async move {
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(state) = state.upgrade() else {
                    return;
                };
                work(state).await;
            }
        }
    };
    tokio::spawn(supervise(name, run));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_restarted_until_it_ends() {
        let starts = AtomicU32::new(0);
        supervise("test", || async {
            let number = starts.fetch_add(1, Ordering::Relaxed);
            assert_ne!(number, 0, "before the first await");
            sleep(Duration::from_millis(1)).await;
            assert_ne!(number, 1, "after an await");
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }
}

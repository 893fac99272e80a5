//! Tasks that run beside the requests.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// After a panic, until the task is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a background task until it ends. A panic in it is logged with the name of the task, which is started
/// again after a pause.
///
/// Every background task runs through this function; tests/architecture.rs checks it.
pub(crate) async fn supervise<F>(name: &'static str, start: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    // Within the block, so that a panic before the first wait is caught, too.
    let run = || AssertUnwindSafe(async { start().await }).catch_unwind();
    while let Err(panic) = run().await {
        let message = (panic.downcast_ref::<&str>().copied())
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(
            task = name,
            panic = message,
            "a background task has panicked and is started again"
        );
        sleep(PAUSE).await;
    }
}

/// Starts a background task that does `work` with `state` once in every period, until the state is dropped.
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
    let rounds = move || {
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
    tokio::spawn(supervise(name, rounds));
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<String>>);

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut Fields(&mut self.0.lock().unwrap()));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            write!(self.0, "{}={value:?} ", field.name()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_logged_and_started_again_until_it_ends() {
        let log = Log::default();
        let _logging = tracing::subscriber::set_default(log.clone());
        let starts = AtomicU32::new(0);
        supervise("rounds", || async {
            let number = starts.fetch_add(1, Ordering::Relaxed);
            // Also after it has waited.
            sleep(Duration::from_millis(1)).await;
            assert_eq!(number, 1, "not yet");
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        let log = log.0.lock().unwrap();
        let logged = log.matches("task=\"rounds\"").count();
        assert_eq!(logged, 1, "{log}");
        assert!(log.contains("not yet"), "{log}");
    }
}

//! Metrics of the hash queue.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The reason why the queue refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No place is free.
    Full,
    /// The address has used up its share.
    Address,
    /// The job did not start in time.
    Timeout,
}

impl Rejection {
    const ALL: [Self; 3] = [Self::Full, Self::Address, Self::Timeout];

    fn labels(self) -> ReasonLabels {
        let reason = match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Timeout => "timeout",
        };
        ReasonLabels { reason }
    }
}

/// The metrics that the hash queue counts.
#[derive(Debug)]
pub(crate) struct HashMetrics {
    rejections: Family<ReasonLabels, Counter>,
    waits: Histogram,
    durations: Histogram,
}

/// The use of the hash queue at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashQueueState {
    /// The number of requests that can hold a place.
    pub(crate) places: usize,
    /// The number of requests that hold a place.
    pub(crate) used: usize,
    /// The number of threads.
    pub(crate) threads: usize,
}

impl HashMetrics {
    pub(super) fn new() -> Self {
        let rejections = Family::default();
        for rejection in Rejection::ALL {
            drop(rejections.get_or_create(&rejection.labels()));
        }
        // From 1 ms to 8 s. A job fails if it does not start within 5 s.
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        Self {
            rejections,
            waits: histogram(),
            durations: histogram(),
        }
    }

    /// Adds the metrics to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Number of requests that the hash queue refused, by reason: no free place, the share of the address, or a wait that was too long";
        registry.register("hash_queue_rejections", help, self.rejections.clone());
        let help = "Time that a password waited for a hashing thread, in seconds";
        registry.register("hash_queue_wait_seconds", help, self.waits.clone());
        let help = "Time to compute or verify one password hash, in seconds";
        registry.register("hash_duration_seconds", help, self.durations.clone());
    }

    pub(super) fn count_rejection(&self, rejection: Rejection) {
        self.rejections.get_or_create(&rejection.labels()).inc();
    }

    pub(super) fn observe_wait(&self, wait: Duration) {
        self.waits.observe(wait.as_secs_f64());
    }

    pub(super) fn observe_duration(&self, duration: Duration) {
        self.durations.observe(duration.as_secs_f64());
    }
}

//! Eviction of connections from a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last eviction. Connections that were opened before this time are not used again.
///
/// An error does not identify its connection, so all open connections of the pool are evicted. The pool for writes to
/// SQLite has only one connection, so only this connection is evicted.
#[derive(Debug)]
pub(super) struct PoolEviction {
    created: Instant,
    /// The time of the last eviction, in microseconds since `created`. 0 if there was no eviction.
    last: AtomicU64,
}

impl PoolEviction {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            created: Instant::now(),
            last: AtomicU64::new(0),
        })
    }

    /// Evicts all connections that are open now.
    pub(super) fn evict_all(&self) {
        let micros = self.created.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        self.last.store(micros, Ordering::SeqCst);
    }

    /// Returns whether a connection of this age was opened before the last eviction.
    pub(super) fn is_evicted(&self, age: Duration) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        last > 0 && Duration::from_micros(last) + age >= self.created.elapsed()
    }
}

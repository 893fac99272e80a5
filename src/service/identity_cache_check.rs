//! Selects cached identities for the comparison with the database, and counts the differences.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::request_credentials::BearerToken;
use crate::service::identity_cache::Entry;

/// A token and its cache entry.
type Sample = (BearerToken, Arc<Entry>);

/// The next sample, and the number of samples that differed from the database.
#[derive(Debug, Default)]
pub(super) struct CacheCheck {
    /// Whether `sample` is set. Read without the lock, because every cache hit offers a sample.
    has_sample: AtomicBool,
    sample: Mutex<Option<Sample>>,
    stale: AtomicU64,
}

impl CacheCheck {
    /// Stores a cache hit as the next sample, unless a sample is already stored.
    pub(super) fn offer(&self, token: &BearerToken, entry: &Arc<Entry>) {
        if !self.has_sample.load(Ordering::Relaxed)
            && !self.has_sample.swap(true, Ordering::Relaxed)
        {
            let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
            *sample = Some((token.clone(), Arc::clone(entry)));
        }
    }

    /// Removes and returns the sample.
    pub(super) fn take(&self) -> Option<Sample> {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_sample.store(false, Ordering::Relaxed);
        sample.take()
    }

    /// Counts a sample that differed from the database.
    pub(super) fn count_stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of samples that differed from the database.
    pub(super) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }
}

//! Compare cached identities with the database, a small sample of those that were used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::sleep;

use crate::error::Error;
use crate::model::credentials::BearerToken;
use crate::model::token_digest::TokenDigest;
use crate::service::Services;
use crate::service::identity_cache::Entry;

/// The last sample, and how many of all samples differed from the database.
#[derive(Debug, Default)]
pub(crate) struct CacheCheck {
    has_sample: AtomicBool,
    sample: Mutex<Option<(BearerToken, Arc<Entry>)>>,
    stale: AtomicU64,
}

impl CacheCheck {
    /// Takes a cache hit as the next sample, unless there is one.
    pub(super) fn offer(&self, token: &BearerToken, entry: &Arc<Entry>) {
        if !self.has_sample.load(Ordering::Relaxed)
            && !self.has_sample.swap(true, Ordering::Relaxed)
        {
            let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
            *sample = Some((token.clone(), Arc::clone(entry)));
        }
    }

    /// The number of cached identities that differed from the database. It is 0 unless there is an error
    /// in Symbolon.
    pub(crate) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }
}

impl Services {
    /// Compares the sample with the database. A difference counts if the cache entry is still valid
    /// after the database was read, and after the time in which changes of other instances become known:
    /// otherwise the identity has changed in between.
    pub(crate) async fn check_cache(&self) {
        let check = &self.cache_check;
        let sample = {
            let mut sample = check.sample.lock().unwrap_or_else(PoisonError::into_inner);
            check.has_sample.store(false, Ordering::Relaxed);
            sample.take()
        };
        let Some((token, entry)) = sample else {
            return;
        };
        let is_same = match self.read(&token).await {
            Ok(found) => entry.has(&found.identity),
            Err(Error::Unauthenticated(_)) => false,
            // The database is unavailable.
            Err(_) => return,
        };
        if is_same {
            return;
        }
        let identity = async || {
            let is_known = self.store.refresh().await;
            self.identities
                .identity(&entry, self.clock.now())
                .filter(|_| is_known)
        };
        if identity().await.is_none() {
            return;
        }
        // Until then another instance's change may not be known.
        sleep(self.store.invalidation_bound()).await;
        if identity().await.is_some() {
            let digest = TokenDigest::of(&token.0);
            let token = digest.prefix();
            tracing::error!(token, "a cached identity differs from the database");
            check.stale.fetch_add(1, Ordering::Relaxed);
            self.identities.remove(&digest);
        }
    }
}

//! A cache of the identities of valid tokens.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::identity::Identity;
use crate::model::token_digest::TokenDigest;
use crate::model::user::User;
use crate::store::{Epoch, Store};

/// The overhead of an entry, in bytes: its share of the cache's tables and lists, and the padding that the
/// allocator adds.
const OVERHEAD: usize = 160;

/// The identity of a token, as it was read from the database.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) identity: Identity,
    /// The instant from which on the next use of the token must be recorded.
    pub(crate) next_recorded_use: DateTime<Utc>,
}

/// A cache of identities with a maximum size in bytes. Only the identities of valid tokens are cached. A token
/// is refused only after a read of the database.
///
/// Each entry contains the epoch that was current before the identity was read from the database. An entry is
/// not used if its user has been invalidated since that epoch.
pub(crate) struct IdentityCache {
    entries: Cache<TokenDigest, Arc<Entry>, Bytes>,
    store: Arc<Store>,
}

/// A cached identity.
pub(super) struct Entry {
    identity: Arc<Identity>,
    epoch: Epoch,
    from: DateTime<Utc>,
    /// The instant from which on the next use must be recorded, in milliseconds since the Unix epoch.
    next_recorded_use: AtomicI64,
}

impl Entry {
    /// Returns whether the cached identity equals `identity`.
    pub(super) fn has(&self, identity: &Identity) -> bool {
        *self.identity == *identity
    }

    /// Returns the identity if a use at `now` must be recorded. In this case, the next use must be recorded one
    /// `interval` later.
    pub(super) fn unrecorded_use(
        &self,
        now: DateTime<Utc>,
        interval: TimeDelta,
    ) -> Option<&Identity> {
        if now.timestamp_millis() < self.next_recorded_use.load(Ordering::Relaxed) {
            return None;
        }
        let next = (now + interval).timestamp_millis();
        self.next_recorded_use.store(next, Ordering::Relaxed);
        Some(&self.identity)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry(of user {})", self.identity.user().id)
    }
}

impl IdentityCache {
    /// Creates a cache of at most `bytes` bytes. With 0 bytes, nothing is cached.
    pub(crate) fn new(bytes: u64, store: Arc<Store>) -> Self {
        let min_weight = size_of::<TokenDigest>() + size_of::<Entry>() + OVERHEAD;
        let max_entries = usize::try_from(bytes).unwrap_or(usize::MAX) / min_weight;
        Self {
            entries: Cache::with_weighter(max_entries, bytes, Bytes),
            store,
        }
    }

    /// Returns the entry of a token. The entry may be outdated. [`Self::identity`] checks whether the entry is
    /// valid.
    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<Entry>> {
        self.entries.get(digest)
    }

    /// Returns the identity of an entry if the entry is valid at `now`. Call [`Store::refresh_invalidation`]
    /// first.
    pub(super) fn identity(&self, entry: &Entry, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        // If `now` is before `from`, the clock was set back.
        let is_valid = entry.from <= now
            && entry
                .identity
                .expires_at()
                .is_none_or(|expires_at| now < expires_at)
            && (self.store).is_unchanged_since(entry.epoch, entry.identity.user().id);
        is_valid.then(|| Arc::clone(&entry.identity))
    }

    /// Inserts an identity that was read from the database at `now`. The caller must read `epoch` before the
    /// identity, so that a change during the read invalidates the entry.
    pub(super) fn insert(
        &self,
        digest: TokenDigest,
        verified: VerifiedToken,
        epoch: Epoch,
        now: DateTime<Utc>,
    ) -> Arc<Identity> {
        let identity = Arc::new(verified.identity);
        let entry = Entry {
            identity: Arc::clone(&identity),
            epoch,
            from: now,
            next_recorded_use: AtomicI64::new(verified.next_recorded_use.timestamp_millis()),
        };
        self.entries.insert(digest, Arc::new(entry));
        identity
    }

    /// Removes the entry of a token.
    pub(super) fn remove(&self, digest: &TokenDigest) {
        self.entries.remove(digest);
    }

    /// Returns the memory that all entries use, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

impl fmt::Debug for IdentityCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityCache({} bytes)", self.bytes())
    }
}

/// The weight of an entry: its memory, in bytes.
#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<TokenDigest, Arc<Entry>> for Bytes {
    fn weight(&self, _: &TokenDigest, entry: &Arc<Entry>) -> u64 {
        let user = entry.identity.user();
        let texts = user.username.len() + user.email.as_ref().map_or(0, String::len);
        let scopes = entry.identity.scopes().iter();
        let scopes: usize = scopes.map(|scope| size_of::<String>() + scope.len()).sum();
        let fixed = size_of::<TokenDigest>()
            + size_of::<Entry>()
            + size_of::<Identity>()
            + size_of::<User>();
        (fixed + texts + scopes + OVERHEAD) as u64
    }
}

//! Remember whom tokens speak for, for as long as nothing happened that may change it.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::identity::Identity;
use crate::model::token_digest::TokenDigest;
use crate::model::user::User;
use crate::store::{Epoch, Store};

/// What an entry takes beside what it holds: its places in tables and lists, and what the allocator
/// rounds up.
const OVERHEAD: usize = 160;

/// Whom a token was found to speak for.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) identity: Identity,
    /// Until when that needs no other look.
    pub(crate) until: DateTime<Utc>,
}

/// Cached identities, bounded in bytes. An entry says only that a token is valid. All refusals come from
/// the database.
///
/// An entry has the epoch before it was read from the database, and is not used once its account has
/// been invalidated after that epoch.
pub(crate) struct IdentityCache {
    entries: Cache<TokenDigest, Arc<Entry>, Bytes>,
    store: Arc<Store>,
}

/// A cached identity.
pub(crate) struct Entry {
    identity: Arc<Identity>,
    since: Epoch,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Entry {
    /// Whether the entry holds this identity.
    pub(crate) fn has(&self, identity: &Identity) -> bool {
        *self.identity == *identity
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry(of user {})", self.identity.user().id)
    }
}

impl IdentityCache {
    /// With room for so many bytes; for nothing if there are none.
    pub(crate) fn new(bytes: u64, store: Arc<Store>) -> Self {
        let least = size_of::<TokenDigest>() + size_of::<Entry>() + OVERHEAD;
        let most_entries = usize::try_from(bytes).unwrap_or(usize::MAX) / least;
        Self {
            entries: Cache::with_weighter(most_entries, bytes, Bytes),
            store,
        }
    }

    /// The entry of a token. It may be out of date until [`IdentityCache::identity`] has checked it.
    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Arc<Entry>> {
        self.entries.get(digest)
    }

    /// The identity of an entry, if it is valid at `now`. To be called after [`Store::refresh`].
    pub(crate) fn identity(&self, entry: &Entry, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        // After the clock was set back the database decides, too.
        let is_valid = entry.from <= now
            && now < entry.until
            && (self.store).is_unchanged_since(entry.since, entry.identity.user().id);
        is_valid.then(|| Arc::clone(&entry.identity))
    }

    /// Keeps what was read from the database at `now`, after the epoch `since`.
    pub(crate) fn keep(
        &self,
        digest: TokenDigest,
        found: VerifiedToken,
        since: Epoch,
        now: DateTime<Utc>,
    ) -> Arc<Identity> {
        let identity = Arc::new(found.identity);
        let entry = Entry {
            identity: Arc::clone(&identity),
            since,
            from: now,
            until: found.until,
        };
        self.entries.insert(digest, Arc::new(entry));
        identity
    }

    /// Removes an entry that differs from the database.
    pub(crate) fn remove(&self, digest: &TokenDigest) {
        self.entries.remove(digest);
    }

    /// The bytes that are taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

impl fmt::Debug for IdentityCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityCache({} bytes)", self.bytes())
    }
}

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

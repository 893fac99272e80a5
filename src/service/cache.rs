//! Remember whom tokens speak for, for as long as nothing happened that may change it.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::identity::Identity;
use crate::model::token::TokenDigest;
use crate::model::user::User;
use crate::store::{Moment, Store};

/// What an entry takes beside what it holds: its places in tables and lists, and what the allocator
/// rounds up.
const OVERHEAD: usize = 160;

/// Whom a token was found to speak for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) identity: Identity,
    /// Until when that needs no other look.
    pub(crate) until: DateTime<Utc>,
}

/// What was found, bounded in bytes. It can only say that a token is valid; whatever else there is to
/// say is for the database.
///
/// It is exact: what is found has the moment before it was looked for, and counts as nothing once its
/// account was changed after that moment, in whatever order the one and the other come here.
pub(crate) struct IdentityCache {
    entries: Cache<TokenDigest, Arc<Entry>, Bytes>,
    store: Arc<Store>,
}

struct Entry {
    identity: Arc<Identity>,
    since: Moment,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
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

    /// Whom the token with this digest speaks for at `now`, if that is known. To be asked after
    /// [`Store::now`].
    pub(crate) fn get(&self, digest: &TokenDigest, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        let entry = self.entries.get(digest)?;
        // A clock that was set back is the database's affair, too.
        let counts = entry.from <= now
            && now < entry.until
            && (self.store).unchanged_since(entry.since, entry.identity.user().id);
        counts.then(|| Arc::clone(&entry.identity))
    }

    /// Keeps what was found at `now` in the database after the moment `since`.
    pub(crate) fn keep(
        &self,
        digest: TokenDigest,
        found: Found,
        since: Moment,
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

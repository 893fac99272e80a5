//! Records when tokens were last used. Uses are collected in memory and written once a second, so that requests do not
//! wait for a write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::token_digest::TokenDigest;
use crate::service::identity_cache::Entry;
use crate::store::Store;

/// The precision with which the last use of a token is recorded.
const PRECISION: TimeDelta = TimeDelta::minutes(1);

/// A token whose use is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UsedToken {
    /// The access token with this id.
    Access(i64),
    /// The session token with this digest.
    Session(TokenDigest),
}

/// The last use of each token that was used since the last flush.
#[derive(Debug)]
pub(crate) struct TokenUses {
    store: Arc<Store>,
    // The map is sorted, because instances that update the same rows in different orders could deadlock.
    uses: Mutex<BTreeMap<UsedToken, DateTime<Utc>>>,
}

impl TokenUses {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            uses: Mutex::default(),
        }
    }

    /// Records a use at `now`, unless `last_use` is less than a minute ago. Returns the instant from which on the next
    /// use must be recorded.
    pub(super) fn record(
        &self,
        token: UsedToken,
        last_use: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let recorded = last_use.filter(|at| (now - *at).abs() < PRECISION);
        if recorded.is_none() {
            self.lock().insert(token, now);
        }
        recorded.unwrap_or(now) + PRECISION
    }

    /// Records the use of a cached identity at `now`, at most once a minute.
    pub(super) fn record_cached(&self, entry: &Entry, digest: &TokenDigest, now: DateTime<Utc>) {
        if let Some(identity) = entry.unrecorded_use(now, PRECISION) {
            let access_token = identity.access_token().map(UsedToken::Access);
            let token = access_token.unwrap_or(UsedToken::Session(*digest));
            self.lock().insert(token, now);
        }
    }

    /// Writes the uses since the last flush to the database.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let uses = std::mem::take(&mut *self.lock());
        if uses.is_empty() {
            return Ok(());
        }
        let written = self.write(&uses).await;
        if written.is_err() {
            // The uses are kept for the next flush. A later use of the same token takes precedence.
            let mut later = self.lock();
            for (token, at) in uses {
                later.entry(token).or_insert(at);
            }
        }
        written
    }

    async fn write(&self, uses: &BTreeMap<UsedToken, DateTime<Utc>>) -> Result<(), Error> {
        let transaction = self.store.begin().await?;
        for (token, at) in uses {
            match token {
                UsedToken::Access(id) => transaction.record_token_use(*id, *at).await?,
                UsedToken::Session(digest) => {
                    transaction
                        .record_session_use(digest, *at, PRECISION)
                        .await?;
                }
            }
        }
        transaction.commit().await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UsedToken, DateTime<Utc>>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

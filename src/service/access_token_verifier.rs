//! Verifies access tokens and records their use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::access_token::AccessToken;
use crate::model::identity::{AccessTokenGrant, Identity};
use crate::model::request_credentials::BearerToken;
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user_record::UserRecord;
use crate::service::identity_cache::VerifiedToken;
use crate::store::Store;

/// The precision with which the last use of a token is recorded.
const USE_PRECISION: TimeDelta = TimeDelta::minutes(1);

/// Verifier of access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokenVerifier {
    store: Arc<Store>,
    clock: Clock,
    /// The time of the last use of each token, by the id of the token. Contains only uses that have not been written to
    /// the database yet.
    uses: Mutex<HashMap<i64, DateTime<Utc>>>,
}

impl AccessTokenVerifier {
    pub(crate) fn new(store: Arc<Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            uses: Mutex::default(),
        }
    }

    /// Verifies a token against the database, and records the use of the token.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (record, token) = self.find(token).await?;
        let now = self.clock.now();
        if !token.is_live_for(&record.user, now) {
            return Err(Unauthenticated::TokenExpired.into());
        }
        let last_use = token.last_used_at;
        let recorded = last_use.filter(|at| (now - *at).abs() < USE_PRECISION);
        if recorded.is_none() {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.insert(token.id, now);
        }
        // The identity is cached only until the next use of the token must be recorded.
        let until = recorded.unwrap_or(now) + USE_PRECISION;
        let access = AccessTokenGrant {
            id: token.id,
            scopes: token.scopes,
        };
        Ok(VerifiedToken {
            identity: Identity::from_access_token(record.user, token.expires_at, access),
            until: token.expires_at.map_or(until, |at| at.min(until)),
        })
    }

    /// Returns whether the token has expired. Returns `false` if the user is disabled.
    pub(super) async fn ended_by_expiration(&self, token: &BearerToken) -> Result<bool, Error> {
        let (record, token) = self.find(token).await?;
        Ok(!record.user.is_disabled() && token.has_expired(self.clock.now()))
    }

    /// Looks up a token and its user.
    pub(super) async fn find(
        &self,
        token: &BearerToken,
    ) -> Result<(UserRecord, AccessToken), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let secret = TokenSecret::parse(SecretType::AccessToken, &token.0).ok_or(invalid)?;
        let found = self
            .store
            .find_access_token_by_digest(&secret.digest())
            .await?;
        Ok(found.ok_or(invalid)?)
    }

    /// Writes to the database the time of the last use of each token that was used since the previous call.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let lock = || self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = std::mem::take(&mut *lock());
        if uses.is_empty() {
            return Ok(());
        }
        // The uses are sorted, because instances that update the same rows in different orders could deadlock.
        let mut uses: Vec<_> = uses.into_iter().collect();
        uses.sort_unstable();
        let written = self.write(&uses).await;
        if written.is_err() {
            // The uses are kept for the next flush. A later use of the same token takes precedence.
            let mut later = lock();
            for (id, at) in uses {
                later.entry(id).or_insert(at);
            }
        }
        written
    }

    async fn write(&self, uses: &[(i64, DateTime<Utc>)]) -> Result<(), Error> {
        let transaction = self.store.begin().await?;
        for (id, at) in uses {
            transaction.record_token_use(*id, *at).await?;
        }
        transaction.commit().await
    }
}

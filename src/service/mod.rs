//! Verbs: what Symbolon does, one file for each. No protocol is named here.

pub(crate) mod access_tokens;
pub(crate) mod audit_trail;
pub(crate) mod authentication;
pub(crate) mod authorization;
mod hash_algorithms;
mod hash_queue;
pub(crate) mod identity_cache;
pub(crate) mod identity_cache_check;
#[cfg(feature = "server")]
pub(crate) mod import;
pub(crate) mod passwords;
pub(crate) mod profile;
pub(crate) mod server_key;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod similar_usernames;
pub(crate) mod throttle;
pub(crate) mod token_watch;
mod uniqueness;
pub(crate) mod user_administration;
pub(crate) mod users;
pub(crate) mod visible_user;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::error::Error;
use crate::model::credentials::{BearerToken, TokenType};
use crate::model::identity::Identity;
use crate::model::token_digest::TokenDigest;
use crate::service::access_tokens::AccessTokens;
use crate::service::audit_trail::Audit;
use crate::service::identity_cache::{IdentityCache, VerifiedToken};
use crate::service::identity_cache_check::CacheCheck;
#[cfg(feature = "server")]
use crate::service::import::Import;
use crate::service::sessions::Sessions;
use crate::service::sign_in::SignIn;
use crate::service::token_watch::TokenWatches;
use crate::service::user_administration::UserAdministration;
use crate::service::users::Users;
use crate::store::Store;

/// For so long an expired access token is kept.
const EXPIRED_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// Everything Symbolon can do; what the doors hold.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) access_tokens: AccessTokens,
    pub(crate) accounts: UserAdministration,
    pub(crate) audit: Arc<Audit>,
    pub(crate) cache_check: CacheCheck,
    pub(crate) identities: IdentityCache,
    #[cfg(feature = "server")]
    pub(crate) import: Import,
    pub(crate) sign_in: SignIn,
    pub(crate) tokens: Arc<Sessions>,
    pub(crate) token_watches: TokenWatches,
    pub(crate) users: Users,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
}

/// Runs `work`, unless it needs to wait for nothing, in a task of its own, which goes on to its end
/// even when the client hangs up or `limit` is over. A panic in it is an internal error.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    limit: Duration,
    work: BoxFuture<'static, T>,
) -> Result<T, Error> {
    let mut work = AssertUnwindSafe(work).catch_unwind();
    let done = match poll_fn(|cx| Poll::Ready(work.poll_unpin(cx))).await {
        Poll::Ready(done) => done,
        Poll::Pending => match timeout(limit, tokio::spawn(work)).await {
            Ok(done) => done.map_err(Error::internal)?,
            Err(_) => return Err(Error::TimedOut),
        },
    };
    done.map_err(|_| Error::internal("a resolver panicked"))
}

impl Services {
    /// The cached identity of a Bearer token of either kind, if it is still valid.
    pub(crate) async fn recall(&self, token: &BearerToken) -> Option<Arc<Identity>> {
        let entry = self.identities.get(&TokenDigest::of(&token.0))?;
        if !self.store.refresh().await {
            return None;
        }
        let identity = self.identities.identity(&entry, self.clock.now())?;
        self.cache_check.offer(token, &entry);
        Some(identity)
    }

    /// The identity of a Bearer token of either kind.
    pub(crate) async fn verify(&self, token: &BearerToken) -> Result<Arc<Identity>, Error> {
        match self.recall(token).await {
            Some(identity) => Ok(identity),
            None => self.find(token).await,
        }
    }

    /// Reads the identity of a Bearer token of either kind from the database.
    pub(crate) async fn find(&self, token: &BearerToken) -> Result<Arc<Identity>, Error> {
        self.store.check_database_file()?;
        // Before the database is read: a change in between invalidates the entry.
        let since = self.store.epoch();
        let now = self.clock.now();
        let found = self.read(token).await?;
        let digest = TokenDigest::of(&token.0);
        Ok(self.identities.keep(digest, found, since, now))
    }

    async fn read(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        match token.token_type() {
            TokenType::Access => self.access_tokens.verify(token).await,
            TokenType::Session => self.tokens.verify(token).await,
        }
    }

    /// Whether time alone has ended a Bearer token of either kind: nobody revoked it or disabled its user.
    async fn has_expired(&self, token: &BearerToken) -> Result<bool, Error> {
        match token.token_type() {
            TokenType::Access => self.access_tokens.has_expired(token).await,
            TokenType::Session => self.tokens.has_expired(token).await,
        }
    }

    /// Writes down what is only remembered: refused attempts, and uses of access tokens.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.audit.flush().await?;
        self.access_tokens.flush().await
    }

    /// Forgets what says nothing any more: old events, drained buckets, addresses that nobody signed
    /// in from for long.
    pub(crate) async fn purge(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let transaction = self.store.begin().await?;
        self.audit.forget(&transaction, now).await?;
        transaction
            .delete_full_buckets(now, now - throttle::ADDRESS_KNOWN_FOR)
            .await?;
        // For a while they are told from those that never were.
        transaction
            .delete_expired_access_tokens(now - EXPIRED_KNOWN_FOR)
            .await?;
        transaction.commit().await
    }

    /// Writes down what is only remembered, and closes the database.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.flush().await?;
        self.store.close().await
    }

    /// Succeeds while the database can be read and written.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.store.check_writable().await
    }
}

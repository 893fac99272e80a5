//! Verifies credentials, and caches the identities of valid tokens.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::error::Error;
use crate::model::identity::Identity;
use crate::model::request_credentials::{BearerToken, TokenType};
use crate::model::token_digest::TokenDigest;
use crate::service::access_token_verifier::AccessTokenVerifier;
use crate::service::identity_cache::{IdentityCache, VerifiedToken};
use crate::service::identity_cache_check::CacheCheck;
use crate::service::sessions::Sessions;
use crate::service::sign_in::SignIn;
use crate::store::Store;

/// Verifier of all kinds of credentials, with a cache of identities.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(super) store: Arc<Store>,
    pub(super) clock: Clock,
    pub(super) sessions: Arc<Sessions>,
    pub(super) access_tokens: AccessTokenVerifier,
    pub(super) sign_in: SignIn,
    identities: IdentityCache,
    check: CacheCheck,
    hits: Counter,
    misses: Counter,
}

impl Authenticator {
    pub(crate) fn new(
        access_tokens: AccessTokenVerifier,
        sign_in: SignIn,
        identities: IdentityCache,
    ) -> Self {
        Self {
            store: Arc::clone(&sign_in.store),
            clock: sign_in.clock.clone(),
            sessions: Arc::clone(&sign_in.sessions),
            access_tokens,
            sign_in,
            identities,
            check: CacheCheck::default(),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }

    /// Returns the cached identity of a token, if it is still valid.
    pub(super) async fn cached_identity(&self, token: &BearerToken) -> Option<Arc<Identity>> {
        let digest = TokenDigest::new(&token.0);
        let entry = self.identities.get(&digest)?;
        if !self.store.refresh_invalidation().await {
            return None;
        }
        let now = self.clock.now();
        let identity = self.identities.identity(&entry, now)?;
        self.sessions.uses.record_cached(&entry, &digest, now);
        self.check.offer(token, &entry);
        self.hits.inc();
        Some(identity)
    }

    /// Returns the identity of a token, from the cache or from the database.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Arc<Identity>, Error> {
        if let Some(identity) = self.cached_identity(token).await {
            return Ok(identity);
        }
        self.misses.inc();
        self.store.check_database_file()?;
        // The epoch is read before the database, so that a change during the read invalidates the entry.
        let epoch = self.store.epoch();
        let now = self.clock.now();
        let verified = self.read(token).await?;
        let digest = TokenDigest::new(&token.0);
        Ok(self.identities.insert(digest, verified, epoch, now))
    }

    async fn read(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        match token.token_type() {
            TokenType::AccessToken => self.access_tokens.verify(token).await,
            TokenType::DeviceSession => self.sessions.verify_device(token).await,
            TokenType::SharedSession => self.sessions.verify_shared(token).await,
        }
    }

    /// Returns whether a token has expired. Returns `false` if the token was revoked or its user is disabled.
    pub(super) async fn ended_by_expiration(&self, token: &BearerToken) -> Result<bool, Error> {
        match token.token_type() {
            TokenType::AccessToken => self.access_tokens.ended_by_expiration(token).await,
            TokenType::DeviceSession => self.sessions.device_ended_by_expiration(token).await,
            TokenType::SharedSession => self.sessions.shared_ended_by_expiration(token).await,
        }
    }

    /// Compares one recently used identity in the cache with the database.
    ///
    /// A difference is counted only if the cache entry is still valid both after the database has been read and
    /// after the maximum time until changes by other instances are known. If the entry has been invalidated, a
    /// change of the user explains the difference.
    pub(crate) async fn check_cache(&self) {
        let Some((token, entry)) = self.check.take() else {
            return;
        };
        let is_equal = match self.read(&token).await {
            Ok(verified) => entry.has(&verified.identity),
            Err(Error::Unauthenticated(_)) => false,
            // The comparison is skipped if the database is unavailable.
            Err(_) => return,
        };
        let is_valid = async || {
            let is_refreshed = self.store.refresh_invalidation().await;
            is_refreshed && self.identities.identity(&entry, self.clock.now()).is_some()
        };
        if is_equal || !is_valid().await {
            return;
        }
        sleep(self.store.max_invalidation_delay()).await;
        if is_valid().await {
            let digest = TokenDigest::new(&token.0);
            let token = digest.prefix();
            tracing::error!(token, "a cached identity differs from the database");
            self.check.count_stale();
            self.identities.remove(&digest);
        }
    }

    /// Adds the metrics of the identity cache and of sign-ins to a registry.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        let help = "Number of requests whose token was verified with the identity cache";
        registry.register("identity_cache_hits", help, self.hits.clone());
        let help = "Number of requests whose token was verified with the database";
        registry.register("identity_cache_misses", help, self.misses.clone());
        self.sign_in.metrics.register(registry);
    }

    /// Adds an endpoint that issues tokens to the metrics of sign-ins.
    pub(crate) fn add_sign_in_endpoint(&self, endpoint: &'static str) {
        self.sign_in.metrics.add_endpoint(endpoint);
    }

    /// Returns the number of cached identities that were found to differ from the database. A number greater
    /// than 0 indicates a bug in Symbolon.
    pub(crate) fn stale_identities(&self) -> u64 {
        self.check.stale()
    }

    /// Returns the memory that the cached identities use, in bytes.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.identities.bytes()
    }
}

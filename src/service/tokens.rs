//! Issue, reuse, verify and revoke session tokens.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::token::{Lifetime, Nonce, ServerKey, Session, SessionToken};
use crate::model::user::{Account, User};
use crate::store::{Replace, Store};

/// Sign-ins that reuse a token are recorded this often at most: they need no write otherwise.
const SIGN_IN_PRECISION: TimeDelta = TimeDelta::minutes(1);

/// A token on its way to its bearer.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: SessionToken,
    pub(crate) expires_at: DateTime<Utc>,
    /// Seconds from the answer to `expires_at`.
    pub(crate) expires_in: i64,
    pub(crate) user: User,
}

/// The life of session tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    store: Arc<Store>,
    clock: Clock,
    key: ServerKey,
    lifetime: Lifetime,
}

impl Tokens {
    /// A new token lives for `lifetime`, unless a sign-in asks for another.
    pub(crate) fn new(store: Arc<Store>, clock: Clock, key: ServerKey, lifetime: Lifetime) -> Self {
        Self {
            store,
            clock,
            key,
            lifetime,
        }
    }

    /// Hands out the session token of an account whose password was verified: the one it has, while
    /// more than 60 s remain and `fresh` is not asked for, or else a new one that lives for
    /// `lifetime`.
    ///
    /// Each step is conditional on what it is based on, so any number of sign-ins at once agree on
    /// one token, and a change of the password or a disabling in between wins.
    pub(crate) async fn issue(
        &self,
        verified: &Account,
        lifetime: Option<Lifetime>,
        fresh: bool,
    ) -> Result<IssuedToken, Error> {
        let lifetime = lifetime.unwrap_or(self.lifetime);
        // Each round that is lost was won by another sign-in or a revocation.
        loop {
            let account = self.store.account_by_id(verified.user.id).await?;
            let account = account
                .filter(|account| account.password_version == verified.password_version)
                .filter(|account| !account.disabled)
                .ok_or(Unauthenticated::InvalidCredentials)?;
            let id = account.user.id;
            let now = self.clock.now();
            let reusable = (account.session)
                .filter(|_| !fresh)
                .and_then(|session| Some((session.reusable(&self.key, id, now)?, session)));
            if let Some((token, session)) = reusable {
                let recorded = account.user.last_sign_in_at;
                if recorded.is_none_or(|at| (now - at).abs() >= SIGN_IN_PRECISION)
                    && !self.store.record_sign_in(&account, now).await?
                {
                    continue;
                }
                return Ok(issued(token, session.expires_at, account.user, now));
            }
            let nonce = Nonce::random()?;
            let token = SessionToken::derive(&self.key, id, &nonce);
            let session = Session {
                digest: token.digest(),
                nonce: Some(nonce),
                expires_at: now + lifetime.duration(),
            };
            let replace = if fresh { Replace::Any } else { Replace::AsRead };
            if self
                .store
                .replace_session(&account, replace, &session, now)
                .await?
            {
                return Ok(issued(token, session.expires_at, account.user, now));
            }
        }
    }

    /// Finds who the token speaks for.
    pub(crate) async fn verify(&self, token: &BearerToken) -> Result<Identity, Error> {
        let (account, session) = self.find(token).await?;
        if !session.is_live(self.clock.now()) || account.disabled {
            return Err(Unauthenticated::TokenExpired.into());
        }
        Ok(Identity::new(account.user, session.expires_at))
    }

    /// Ends the token. True when this call ended a live one, false when it was already dead.
    pub(crate) async fn revoke(&self, token: &BearerToken) -> Result<bool, Error> {
        let (_, session) = self.find(token).await?;
        let now = self.clock.now();
        let expired_at = now - TimeDelta::seconds(1);
        let ended = self.store.end_session(&session.digest, expired_at).await?;
        Ok(ended && session.is_live(now))
    }

    async fn find(&self, token: &BearerToken) -> Result<(Account, Session), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let token = SessionToken::parse(&token.0).ok_or(invalid)?;
        let account = self.store.account_by_digest(&token.digest()).await?;
        let account = account.ok_or(invalid)?;
        let session = account.session.ok_or(invalid)?;
        Ok((account, session))
    }
}

fn issued(
    token: SessionToken,
    expires_at: DateTime<Utc>,
    mut user: User,
    now: DateTime<Utc>,
) -> IssuedToken {
    user.last_sign_in_at = Some(now);
    IssuedToken {
        token,
        expires_at,
        expires_in: (expires_at - now).num_seconds(),
        user,
    }
}

//! Issue, reuse, verify and revoke session tokens.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::{Actor, AuditEventKind, Client, Credential, NewEvent};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::live_token::LiveToken;
use crate::model::session::{Lifetime, Session};
use crate::model::session_token::{Nonce, ServerKey, SessionToken};
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::identity_cache::VerifiedToken;
use crate::service::visible_user::VisibleUser;
use crate::store::{Store, Transaction};

/// A token on its way to its bearer.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: SessionToken,
    pub(crate) expires_at: DateTime<Utc>,
    /// Seconds from the answer to `expires_at`.
    pub(crate) expires_in: i64,
    pub(crate) user: VisibleUser,
}

/// What kind of token a sign-in asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenOptions {
    /// How long a new one lives, where not as long as is configured.
    pub(crate) lifetime: Option<Lifetime>,
    /// Whether the present one is replaced.
    pub(crate) fresh: bool,
}

/// The life of session tokens.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) key: ServerKey,
    /// How long a new token lives, unless a sign-in asks for something else.
    pub(crate) lifetime: Lifetime,
    /// Whether a sign-in hands out the token that there is.
    pub(crate) reuse: bool,
    /// How long after a sign-in its token can be renewed.
    pub(crate) max_age: TimeDelta,
}

impl Sessions {
    /// Hands out the session token of an account that signs in with `transaction`: the one it has, while
    /// more than 60 s remain and no fresh one is asked for, or else a new one.
    ///
    /// Nobody else changes the account meanwhile, so any number of sign-ins at once agree on one token.
    pub(super) async fn issue(
        &self,
        transaction: &mut Transaction,
        account: UserRecord,
        wanted: TokenOptions,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let id = account.user.id;
        let reusable = (account.session.as_ref())
            .filter(|_| !wanted.fresh && self.reuse)
            .and_then(|session| Some((session.reusable_token(&self.key, id, now)?, session)));
        if let Some((token, session)) = reusable {
            return Ok(issued(token, session.expires_at, account.user, now));
        }
        let (token, session) = self.new_session(id, wanted.lifetime, now)?;
        transaction.set_session(&account, &session, now).await?;
        let actor = Actor::user(id, Credential::Password, client);
        let event = NewEvent::new(AuditEventKind::TokenIssued, id, actor, now);
        transaction.record_event(event.with_token(session.digest));
        Ok(issued(token, session.expires_at, account.user, now))
    }

    /// The same for an account that signed in earlier in the same request. A change of the password or
    /// a disabling in between wins.
    pub(crate) async fn issue_another(
        &self,
        verified: &UserRecord,
        wanted: TokenOptions,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        let mut transaction = self.store.begin().await?;
        let account = transaction.lock_user(verified.user.id).await?;
        let account = account
            .filter(|account| account.password_version == verified.password_version)
            .filter(|account| !account.user.is_disabled())
            .ok_or(Unauthenticated::InvalidCredentials)?;
        let now = self.clock.now();
        let issued = self.issue(&mut transaction, account, wanted, client, now);
        let issued = issued.await?;
        transaction.commit().await?;
        Ok(issued)
    }

    /// A session to be, and its token.
    pub(super) fn new_session(
        &self,
        user: UserId,
        lifetime: Option<Lifetime>,
        now: DateTime<Utc>,
    ) -> Result<(SessionToken, Session), Error> {
        let nonce = Nonce::random()?;
        let token = SessionToken::derive(&self.key, user, &nonce);
        let session = Session {
            digest: token.digest(),
            nonce: Some(nonce),
            expires_at: now + lifetime.unwrap_or(self.lifetime).duration(),
        };
        Ok((token, session))
    }

    /// Finds who the token speaks for.
    pub(crate) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (account, session) = self.find(token).await?;
        if !session.is_live(self.clock.now()) || account.user.is_disabled() {
            return Err(Unauthenticated::TokenExpired.into());
        }
        Ok(VerifiedToken {
            identity: Identity::from_session(account.user, session.expires_at),
            until: session.expires_at,
        })
    }

    /// Lets the same token live for a full lifetime from now, up to the maximum age since the last
    /// sign-in; never shorter than it would have.
    pub(crate) async fn renew(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        // Each round that is lost was won by another renewal or a revocation.
        loop {
            let (account, session) = self.find(token).await?;
            let now = self.clock.now();
            if !session.is_live(now) || account.user.is_disabled() {
                // The cache must not accept what was refused here.
                self.store.invalidate(account.user.id);
                return Err(Unauthenticated::TokenExpired.into());
            }
            let latest = account.user.last_sign_in_at;
            let latest = latest.and_then(|at| at.checked_add_signed(self.max_age));
            let expires_at = (now + self.lifetime.duration())
                .min(latest.unwrap_or(session.expires_at))
                .max(session.expires_at);
            let (id, kind) = (account.user.id, AuditEventKind::TokenRenewed);
            let mut transaction = self.store.begin().await?;
            if transaction.extend_session(id, &session, expires_at).await? {
                let credential = Credential::Session(session.digest);
                let actor = Actor::user(id, credential, client);
                let event = NewEvent::new(kind, id, actor, now);
                transaction.record_event(event.with_token(session.digest));
                transaction.commit().await?;
                let token = SessionToken::parse(&token.0).ok_or(Unauthenticated::TokenInvalid)?;
                let expires_in = (expires_at - now).num_seconds();
                let user = VisibleUser::whole(account.user);
                return Ok(IssuedToken {
                    token,
                    expires_at,
                    expires_in,
                    user,
                });
            }
        }
    }

    /// Whether time alone has ended the token: nobody revoked it or disabled its user.
    pub(super) async fn has_expired(&self, token: &BearerToken) -> Result<bool, Error> {
        let (account, session) = self.find(token).await?;
        let kept = session.nonce.is_some() && !account.user.is_disabled();
        Ok(kept && session.expires_at <= self.clock.now())
    }

    /// Ends the token. True when this call ended a live one, false when it was already dead.
    pub(crate) async fn revoke(&self, token: &BearerToken, client: &Client) -> Result<bool, Error> {
        let (account, session) = self.find(token).await?;
        let now = self.clock.now();
        let (id, kind) = (account.user.id, AuditEventKind::TokenRevoked);
        let mut transaction = self.store.begin().await?;
        if !transaction
            .end_session(id, &session.digest, ended_at(now))
            .await?
        {
            return Ok(false);
        }
        if session.is_live(now) {
            let credential = Credential::Session(session.digest);
            let actor = Actor::user(id, credential, client);
            let event = NewEvent::new(kind, id, actor, now);
            transaction.record_event(event.with_token(session.digest));
        }
        transaction.commit().await?;
        Ok(session.is_live(now))
    }

    /// The sessions that are honoured, of the accounts after this one, in the order of their ids.
    pub(crate) async fn live(
        &self,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<LiveToken>, Error> {
        let now = self.clock.now();
        let accounts = self.store.users_with_session(after, now, limit);
        let live = accounts.await?.into_iter().filter_map(|account| {
            let session = account.session?;
            Some(LiveToken {
                id: None,
                name: None,
                user: account.user,
                token: session.digest.prefix(),
                expires_at: Some(session.expires_at),
            })
        });
        Ok(live.collect())
    }

    /// Forgets the sessions that have ended; how many.
    pub(crate) async fn purge(&self) -> Result<u64, Error> {
        let transaction = self.store.begin().await?;
        let forgotten = transaction.delete_ended_sessions(self.clock.now()).await?;
        transaction.commit().await?;
        Ok(forgotten)
    }

    async fn find(&self, token: &BearerToken) -> Result<(UserRecord, Session), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let token = SessionToken::parse(&token.0).ok_or(invalid)?;
        let account = self
            .store
            .find_user_by_session_digest(&token.digest())
            .await?;
        let account = account.ok_or(invalid)?;
        let session = account.session.ok_or(invalid)?;
        Ok((account, session))
    }
}

/// What the expiration of a session is set to that is ended before its time.
pub(super) fn ended_at(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::seconds(1)
}

pub(super) fn issued(
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
        user: VisibleUser::whole(user),
    }
}

//! Issues, verifies, renews and revokes session tokens.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::model::request_credentials::BearerToken;
use crate::model::server_key::ServerKey;
use crate::model::session::{Lifetime, Session};
use crate::model::session_token::{Nonce, SessionToken};
use crate::model::token_summary::LiveToken;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::identity_cache::VerifiedToken;
use crate::service::revocation_steps::{record_revocation, revoked_expiration};
use crate::service::visible_user::VisibleUser;
use crate::store::{Store, Transaction};

/// A session token, as it is returned to the client.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: SessionToken,
    pub(crate) expires_at: DateTime<Utc>,
    /// The seconds until `expires_at`.
    pub(crate) expires_in: i64,
    pub(crate) user: VisibleUser,
}

impl IssuedToken {
    pub(super) fn new(
        token: SessionToken,
        expires_at: DateTime<Utc>,
        user: User,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            token,
            expires_at,
            expires_in: (expires_at - now).num_seconds(),
            user: VisibleUser::whole(user),
        }
    }
}

/// The options of a sign-in that issues a token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenOptions {
    /// The lifetime of a new token. `None` means the configured lifetime.
    pub(crate) lifetime: Option<Lifetime>,
    /// Whether the current token is replaced instead of reused.
    pub(crate) fresh: bool,
}

/// The use cases for session tokens.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) key: ServerKey,
    /// The lifetime of a new token, unless the client requests a different lifetime.
    pub(crate) lifetime: Lifetime,
    /// Whether a sign-in returns the live token of the user instead of replacing the token.
    pub(crate) reuse: bool,
    /// The maximum time from the last sign-in to the expiration of a renewed token.
    pub(crate) max_age: TimeDelta,
}

impl Sessions {
    /// Issues a session token to a user who signs in. The live token is reused if reuse is enabled, no fresh
    /// token is requested, and the token remains valid for more than 60 s. Otherwise, a new token is issued.
    ///
    /// `transaction` must have locked the user, so that concurrent sign-ins return the same token.
    pub(super) async fn issue(
        &self,
        transaction: &mut Transaction,
        record: UserRecord,
        options: TokenOptions,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let id = record.user.id;
        let current = record.session.as_ref();
        let reusable = current.filter(|_| !options.fresh && self.reuse);
        if let Some(session) = reusable
            && let Some(token) = session.reusable_token(&self.key, id, now)
        {
            return Ok(IssuedToken::new(
                token,
                session.expires_at,
                record.user,
                now,
            ));
        }
        let (token, session) = self.new_session(id, options.lifetime, now)?;
        transaction.set_session(&record, &session, now).await?;
        let actor = Actor::user(id, Credential::Password, client);
        let event = NewAuditEvent::new(AuditEventKind::TokenIssued, id, actor, now);
        transaction.record_event(event.with_token(session.digest));
        Ok(IssuedToken::new(
            token,
            session.expires_at,
            record.user,
            now,
        ))
    }

    /// Issues a token to a user whose password was verified earlier in the same request. Fails if the password
    /// has changed since, or if the user has been disabled.
    pub(super) async fn issue_verified(
        &self,
        verified: &UserRecord,
        options: TokenOptions,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        let mut transaction = self.store.begin().await?;
        let record = transaction.lock_user(verified.user.id).await?;
        let record = record
            .filter(|record| record.password_version == verified.password_version)
            .filter(|record| !record.user.is_disabled())
            .ok_or(Unauthenticated::InvalidCredentials)?;
        let now = self.clock.now();
        let issued = self.issue(&mut transaction, record, options, client, now);
        let issued = issued.await?;
        transaction.commit().await?;
        Ok(issued)
    }

    /// Creates a session and its token, without storing them.
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

    /// Verifies a token against the database.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (record, session) = self.find(token).await?;
        if record.live_session(self.clock.now()).is_none() {
            return Err(Unauthenticated::TokenExpired.into());
        }
        Ok(VerifiedToken {
            identity: Identity::from_session(record.user, session.expires_at),
            until: session.expires_at,
        })
    }

    /// Extends the expiration of a token to a full lifetime from now, but not beyond the maximum age after the
    /// last sign-in. The expiration never becomes earlier.
    pub(super) async fn renew(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        // The loop repeats if a concurrent renewal or revocation changed the session.
        loop {
            let (record, session) = self.find(token).await?;
            let (id, now) = (record.user.id, self.clock.now());
            if record.live_session(now).is_none() {
                // The cached identity is invalidated before the client learns that the token has ended.
                self.store.invalidate(id);
                return Err(Unauthenticated::TokenExpired.into());
            }
            let signed_in_at = record.user.last_sign_in_at;
            let latest = signed_in_at.and_then(|at| at.checked_add_signed(self.max_age));
            let expires_at = (now + self.lifetime.duration())
                .min(latest.unwrap_or(session.expires_at))
                .max(session.expires_at);
            let mut transaction = self.store.begin().await?;
            if transaction.extend_session(id, &session, expires_at).await? {
                let actor = Actor::user(id, Credential::Session(session.digest), client);
                let event = NewAuditEvent::new(AuditEventKind::TokenRenewed, id, actor, now);
                transaction.record_event(event.with_token(session.digest));
                transaction.commit().await?;
                let token = SessionToken::parse(&token.0).ok_or(Unauthenticated::TokenInvalid)?;
                return Ok(IssuedToken::new(token, expires_at, record.user, now));
            }
        }
    }

    /// Returns whether the token has ended because of its expiration: the token has expired, or its expiration is too
    /// far in the future because a clock was wrong. Returns `false` if the token was revoked or its user is disabled.
    pub(super) async fn ended_by_expiration(&self, token: &BearerToken) -> Result<bool, Error> {
        let (record, session) = self.find(token).await?;
        let was_ended = session.nonce.is_none() || record.user.is_disabled();
        Ok(!was_ended && !session.is_live(self.clock.now()))
    }

    /// Revokes a token. Returns whether this call revoked a live token.
    pub(super) async fn revoke(&self, token: &BearerToken, client: &Client) -> Result<bool, Error> {
        let (record, session) = self.find(token).await?;
        let (id, now) = (record.user.id, self.clock.now());
        let mut transaction = self.store.begin().await?;
        let expiration = revoked_expiration(now);
        if !(transaction.revoke_session(id, &session.digest, expiration)).await? {
            return Ok(false);
        }
        let was_live = record.live_session(now).is_some();
        if was_live {
            let actor = Actor::user(id, Credential::Session(session.digest), client);
            record_revocation(&mut transaction, id, session.digest, &actor, now);
        }
        transaction.commit().await?;
        Ok(was_live)
    }

    /// Returns the live sessions of at most `limit` users with ids greater than `after`, in ascending order of
    /// user id.
    pub(crate) async fn live(
        &self,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<LiveToken>, Error> {
        let now = self.clock.now();
        let records = self
            .store
            .users_with_live_session(after, now, limit)
            .await?;
        let live = records.into_iter().filter_map(|record| {
            let session = record.session?;
            Some(LiveToken {
                id: None,
                name: None,
                user: record.user,
                token: session.digest.prefix(),
                expires_at: Some(session.expires_at),
            })
        });
        Ok(live.collect())
    }

    /// Deletes the sessions that have ended. Returns the number of deleted sessions.
    pub(crate) async fn purge(&self) -> Result<u64, Error> {
        let transaction = self.store.begin().await?;
        let deleted = transaction
            .delete_expired_sessions(self.clock.now())
            .await?;
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Looks up the session of a token, and the user.
    async fn find(&self, token: &BearerToken) -> Result<(UserRecord, Session), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let digest = SessionToken::parse(&token.0).ok_or(invalid)?.digest();
        let record = self.store.find_user_by_session_digest(&digest).await?;
        let record = record.ok_or(invalid)?;
        let session = record.session.ok_or(invalid)?;
        Ok((record, session))
    }
}

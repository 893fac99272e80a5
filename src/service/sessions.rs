//! Issues session tokens. Verifies, renews and revokes the tokens of shared sessions.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::model::request_credentials::{BearerToken, TokenType};
use crate::model::server_key::ServerKey;
use crate::model::session::{Lifetime, Session};
use crate::model::session_token::{Nonce, SessionToken};
use crate::model::token_digest::TokenDigest;
use crate::model::token_summary::LiveToken;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::identity_cache::VerifiedToken;
use crate::service::revocation_steps::{record_revocation, revoked_expiration};
use crate::service::session_token_options::{RequestedSession, SessionTokenOptions};
use crate::service::token_uses::{TokenUses, UsedToken};
use crate::service::visible_user::VisibleUser;
use crate::store::{NewSession, Store, Transaction};

/// A session token, as it is returned to the client.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: BearerToken,
    pub(crate) expires_at: DateTime<Utc>,
    /// The seconds until `expires_at`.
    pub(crate) expires_in: i64,
    pub(crate) user: VisibleUser,
}

impl IssuedToken {
    pub(super) fn new(
        token: BearerToken,
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
    pub(crate) uses: Arc<TokenUses>,
}

impl Sessions {
    /// Issues a session token to a user who signs in. The live token of the shared session is reused if reuse is
    /// enabled, neither a device session nor a fresh token is requested, and the token remains valid for more than
    /// 60 s. Otherwise, a new token is issued.
    ///
    /// Call this method only after `transaction` has locked the user, so that concurrent sign-ins return the
    /// same token.
    pub(super) async fn issue(
        &self,
        transaction: &mut Transaction,
        record: UserRecord,
        options: &SessionTokenOptions,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let id = record.user.id;
        let actor = Actor::user(id, Credential::Password, client);
        let fresh = match &options.session {
            RequestedSession::Shared { fresh } => *fresh,
            RequestedSession::Device(device) => {
                let (user, lifetime) = (record.user, options.lifetime);
                let started =
                    self.start_device_session(transaction, user, device, lifetime, &actor, now);
                return started.await;
            }
        };
        let reusable = record.session.filter(|_| !fresh && self.reuse);
        if let Some(session) = reusable
            && let Some(token) = session.reusable_token(&self.key, id, now)
        {
            return Ok(IssuedToken::new(
                token.into(),
                session.expires_at,
                record.user,
                now,
            ));
        }
        let lifetime = options.lifetime;
        self.start_shared_session(transaction, record, lifetime, &actor, now)
            .await
    }

    /// Issues a new token for the shared session of a user. `transaction` must have locked the user.
    pub(super) async fn start_shared_session(
        &self,
        transaction: &mut Transaction,
        record: UserRecord,
        lifetime: Option<Lifetime>,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let id = record.user.id;
        let nonce = Nonce::random()?;
        let token = SessionToken::derive(&self.key, id, &nonce);
        let session = Session {
            digest: token.digest(),
            nonce: Some(nonce),
            expires_at: now + lifetime.unwrap_or(self.lifetime).duration(),
        };
        transaction.set_session(&record, &session, now).await?;
        let details = NewSession {
            user: id,
            device: None,
            digest: session.digest,
            created_at: now,
            client: &actor.client().cloned().unwrap_or_default(),
        };
        transaction.insert_session(details).await?;
        let event = NewAuditEvent::new(AuditEventKind::TokenIssued, id, actor.clone(), now);
        transaction.record_event(event.with_token(session.digest));
        Ok(IssuedToken::new(
            token.into(),
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
        options: &SessionTokenOptions,
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

    /// Verifies a token against the database.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (record, session) = self.find(token).await?;
        let now = self.clock.now();
        if record.live_session(now).is_none() {
            return Err(Unauthenticated::TokenExpired.into());
        }
        // The last use is stored in another table. Reading it would cost more than a write that changes nothing.
        let used = UsedToken::Session(session.digest);
        let next_recorded_use = self.uses.record(used, None, now);
        Ok(VerifiedToken {
            identity: Identity::from_session(record.user, session.expires_at),
            next_recorded_use,
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
            let expires_at = self.renewed_expiration(signed_in_at, session.expires_at, now);
            let transaction = self.store.begin().await?;
            if transaction.extend_session(id, &session, expires_at).await? {
                let renewed = IssuedToken::new(token.clone(), expires_at, record.user, now);
                let actor = Actor::user(id, Credential::Session(session.digest), client);
                return commit_renewal(transaction, renewed, session.digest, actor, now).await;
            }
        }
    }

    /// Returns the expiration of a session after its renewal at `now`: a full lifetime from now, but not beyond the
    /// maximum age after `signed_in_at`, and not earlier than the current expiration.
    pub(super) fn renewed_expiration(
        &self,
        signed_in_at: Option<DateTime<Utc>>,
        current: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let latest = signed_in_at.and_then(|at| at.checked_add_signed(self.max_age));
        (now + self.lifetime.duration())
            .min(latest.unwrap_or(current))
            .max(current)
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
                token_type: TokenType::SharedSession,
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
        let now = self.clock.now();
        let shared = transaction.delete_expired_sessions(now).await?;
        let on_devices = transaction.delete_device_sessions_before(now).await?;
        transaction.commit().await?;
        Ok(shared + on_devices)
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

/// Records the renewal of the token with this digest, commits it, and returns the renewed token.
pub(super) async fn commit_renewal(
    mut transaction: Transaction,
    renewed: IssuedToken,
    digest: TokenDigest,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<IssuedToken, Error> {
    let event = NewAuditEvent::new(AuditEventKind::TokenRenewed, actor.user_id(), actor, now);
    transaction.record_event(event.with_token(digest));
    transaction.commit().await?;
    Ok(renewed)
}

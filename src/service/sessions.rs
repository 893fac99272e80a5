//! The rules that shared sessions and device sessions have in common: issue, renewal and purge.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::device_session::DeviceSession;
use crate::model::request_credentials::TokenType;
use crate::model::server_key::ServerKey;
use crate::model::session_lifetime::Lifetime;
use crate::model::shared_session::SharedSession;
use crate::model::token_digest::TokenDigest;
use crate::model::token_secret::SecretType;
use crate::model::user_record::UserRecord;
use crate::service::issued_token::IssuedToken;
use crate::service::token_look_ups::TokenLookUps;
use crate::service::token_options::{NewDeviceSession, RequestedSession, TokenOptions};
use crate::service::token_uses::TokenUses;
use crate::store::{Store, Transaction};

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
    pub(crate) shared: Arc<TokenLookUps<SharedSession>>,
    pub(crate) on_devices: Arc<TokenLookUps<DeviceSession>>,
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
        options: &TokenOptions,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let id = record.user.id;
        let fresh = match &options.session {
            RequestedSession::Shared { fresh } => *fresh,
            RequestedSession::Device(device) => {
                let new = NewDeviceSession {
                    secret: SecretType::DeviceSession,
                    device,
                    lifetime: options.lifetime,
                };
                let started = self.start_device_session(transaction, record.user, new, actor, now);
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
        self.start_shared_session(transaction, record, lifetime, actor, now)
            .await
    }

    /// Issues a token to a user whose password was verified earlier in the same request. Fails if the password
    /// has changed since, or if the user has been disabled.
    pub(super) async fn issue_verified(
        &self,
        verified: &UserRecord,
        options: &TokenOptions,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        let mut transaction = self.store.begin().await?;
        let record = transaction.lock_user(verified.user.id).await?;
        let record = record
            .filter(|record| record.password_version == verified.password_version)
            .filter(|record| !record.user.is_disabled())
            .ok_or(Unauthenticated::InvalidCredentials)?;
        let now = self.clock.now();
        let actor = Actor::user(record.user.id, Credential::Password, client);
        let issued = self.issue(&mut transaction, record, options, &actor, now);
        let issued = issued.await?;
        transaction.commit().await?;
        Ok(issued)
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

    /// Deletes the sessions that have ended. Returns the number of deleted sessions.
    pub(crate) async fn delete_ended(&self) -> Result<u64, Error> {
        let transaction = self.store.begin().await?;
        let now = self.clock.now();
        let shared = transaction.delete_expired_sessions(now).await?;
        let on_devices = transaction.delete_device_sessions_before(now).await?;
        transaction.commit().await?;
        Ok(shared + on_devices)
    }
}

/// Records the renewal of the token with this digest, commits it, and returns the renewed token.
pub(super) async fn commit_renewal(
    mut transaction: Transaction,
    renewed: IssuedToken,
    (digest, token_type): (TokenDigest, TokenType),
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<IssuedToken, Error> {
    let event = NewAuditEvent::new(AuditEventKind::TokenRenewed, actor.user_id(), actor, now);
    transaction.record_event(event.with_token(digest, token_type));
    transaction.commit().await?;
    Ok(renewed)
}

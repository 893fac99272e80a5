//! The steps of revocations that several use cases share.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::access_token::AccessToken;
use crate::model::actor::Actor;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::device_session::DeviceSession;
use crate::model::request_credentials::TokenType;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::store::{Store, Transaction};

/// Returns the expiration to store for a session that is revoked at `now`.
pub(super) fn revoked_expiration(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::seconds(1)
}

/// Records in the audit trail that a live token of `user` was revoked.
pub(super) fn record_revocation(
    transaction: &mut Transaction,
    user: UserId,
    (digest, token_type): (TokenDigest, TokenType),
    actor: &Actor,
    now: DateTime<Utc>,
) {
    let event = NewAuditEvent::new(AuditEventKind::TokenRevoked, user, actor.clone(), now);
    transaction.record_event(event.with_token(digest, token_type));
}

/// Revokes all tokens of a user, and deletes the unused one-time tokens of the user. Call this function only after
/// `transaction` has locked the row of the user. Returns the number of session tokens and access tokens that were live.
pub(super) async fn revoke_all_tokens(
    transaction: &mut Transaction,
    record: &UserRecord,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    let was_live = revoke_shared_session(transaction, record, actor, now).await?;
    let others = revoke_other_tokens(transaction, &record.user, actor, now).await?;
    Ok(others + u32::from(was_live))
}

/// Revokes the device sessions and the access tokens of a user, and deletes the unused one-time tokens: all tokens except
/// the token of the shared session. Call this function only after `transaction` has locked the row of the user. Returns
/// the number of session tokens and access tokens that were live.
pub(super) async fn revoke_other_tokens(
    transaction: &mut Transaction,
    user: &User,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    transaction
        .delete_unused_one_time_tokens(user.id, None)
        .await?;
    let mut revoked = 0;
    for token in &transaction.access_tokens(user.id).await? {
        revoked += u32::from(revoke(transaction, token, actor, now).await?);
    }
    for session in &transaction.device_sessions(user.id).await? {
        let was_live = revoke_device_session(transaction, user, session, actor, now).await?;
        revoked += u32::from(was_live);
    }
    Ok(revoked)
}

/// Revokes the shared session of a user. Returns whether the session was live.
pub(super) async fn revoke_shared_session(
    transaction: &mut Transaction,
    record: &UserRecord,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let user = record.user.id;
    let expiration = revoked_expiration(now);
    transaction.revoke_session_of_user(user, expiration).await?;
    let live = record.live_session(now);
    if let Some(session) = live {
        let token = (session.digest, TokenType::SharedSession);
        record_revocation(transaction, user, token, actor, now);
    }
    Ok(live.is_some())
}

/// Revokes a device session of a user. `transaction` must have locked the row of the user. Returns whether the session
/// was live.
pub(super) async fn revoke_device_session(
    transaction: &mut Transaction,
    user: &User,
    session: &DeviceSession,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    if session.is_revoked {
        return Ok(false);
    }
    let expiration = revoked_expiration(now);
    transaction
        .revoke_device_session(session, expiration)
        .await?;
    let was_live = session.is_live_for(user, now);
    if was_live {
        let token = (session.digest, TokenType::DeviceSession);
        record_revocation(transaction, user.id, token, actor, now);
    }
    Ok(was_live)
}

/// Revokes the access token `id` of a user in a new transaction. Returns whether the token was live.
pub(super) async fn revoke_access_token(
    store: &Store,
    user: UserId,
    id: i64,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let tokens = transaction.access_tokens(user).await?;
    let Some(token) = tokens.iter().find(|token| token.id == id) else {
        // The cached identity is invalidated before the client learns that the token has ended.
        store.invalidate(user);
        return Ok(false);
    };
    let was_live = revoke(&mut transaction, token, actor, now).await?;
    transaction.commit().await?;
    Ok(was_live)
}

async fn revoke(
    transaction: &mut Transaction,
    token: &AccessToken,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    transaction.delete_access_token(token).await?;
    let was_live = !token.has_expired(now);
    if was_live {
        let revoked = (token.digest, TokenType::AccessToken);
        record_revocation(transaction, token.user, revoked, actor, now);
    }
    Ok(was_live)
}

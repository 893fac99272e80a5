//! Revokes tokens within a transaction.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::access_token::AccessToken;
use crate::model::actor::Actor;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_kind::AuditEventKind;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
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
    token: TokenDigest,
    actor: &Actor,
    now: DateTime<Utc>,
) {
    let event = NewAuditEvent::new(AuditEventKind::TokenRevoked, user, actor.clone(), now);
    transaction.record_event(event.with_token(token));
}

/// Revokes all tokens of a user, and deletes the unused one-time tokens of the user. `transaction` must have locked
/// the row of the user. Returns the number of session tokens and access tokens that were live.
pub(super) async fn revoke_all_tokens(
    transaction: &mut Transaction,
    record: &UserRecord,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    let user = record.user.id;
    transaction
        .delete_unused_one_time_tokens(user, None)
        .await?;
    let expiration = revoked_expiration(now);
    transaction.revoke_session_of_user(user, expiration).await?;
    let mut revoked = revoke_all_access_tokens(transaction, user, actor, now).await?;
    if let Some(session) = record.live_session(now) {
        record_revocation(transaction, user, session.digest, actor, now);
        revoked += 1;
    }
    Ok(revoked)
}

/// Revokes all access tokens of a user. Returns the number of tokens that were live.
pub(super) async fn revoke_all_access_tokens(
    transaction: &mut Transaction,
    user: UserId,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    let tokens = transaction.access_tokens(user).await?;
    let mut revoked = 0;
    for token in &tokens {
        revoked += u32::from(revoke(transaction, token, actor, now).await?);
    }
    Ok(revoked)
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
        record_revocation(transaction, token.user, token.digest, actor, now);
    }
    Ok(was_live)
}

//! Starts, verifies, renews and revokes device sessions.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::device_session::DeviceSession;
use crate::model::identity::Identity;
use crate::model::label::Label;
use crate::model::live_token::LiveToken;
use crate::model::request_credentials::{BearerToken, TokenType};
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user::{Role, User};
use crate::service::identity_cache::VerifiedToken;
use crate::service::issued_token::IssuedToken;
use crate::service::revocation_steps::revoke_device_session;
use crate::service::sessions::{Sessions, commit_renewal};
use crate::service::token_options::NewDeviceSession;
use crate::service::token_uses::UsedToken;
use crate::store::{NewSession, Transaction};

/// The maximum number of device sessions of a user that were not revoked. A further session replaces the oldest one.
pub(crate) const MAX_DEVICE_SESSIONS: usize = 50;

/// The maximum number of rows of a user, including ended sessions.
const MAX_ROWS: usize = 2 * MAX_DEVICE_SESSIONS;

/// The time for which the row of an ended session is kept. During this time, the token is reported as expired.
/// Afterwards, the token is reported as invalid.
const ENDED_RETENTION: TimeDelta = TimeDelta::days(30);

impl Sessions {
    /// Starts a session for one device. If the user has too many device sessions, the oldest one is revoked.
    /// `transaction` must have locked the user.
    pub(super) async fn start_device_session(
        &self,
        transaction: &mut Transaction,
        user: User,
        new: NewDeviceSession<'_>,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, Error> {
        let secret = TokenSecret::random(new.secret)?;
        let expires_at = now + new.lifetime.unwrap_or(self.lifetime).duration();
        let client = actor.client().cloned().unwrap_or_default();
        make_room(transaction, &user, actor, now).await?;
        let new = NewSession {
            user: user.id,
            device: Some((new.device, expires_at)),
            digest: secret.digest(),
            created_at: now,
            client: &client,
        };
        transaction.insert_session(new).await?;
        let event = NewAuditEvent::new(AuditEventKind::TokenIssued, user.id, actor.clone(), now);
        transaction.record_event(event.with_token(secret.digest(), TokenType::DeviceSession));
        let token = BearerToken(secret.reveal().to_owned());
        Ok(IssuedToken::new(token, expires_at, user, now))
    }

    /// Verifies a token against the database.
    pub(super) async fn verify_device(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (user, session) = self.find_device(token).await?;
        let now = self.clock.now();
        if !is_live(token, &session, &user, now) {
            return Err(Unauthenticated::TokenExpired.into());
        }
        let used_token = UsedToken::Session(session.digest);
        let next_recorded_use = self.uses.record(used_token, session.last_used_at, now);
        Ok(VerifiedToken {
            identity: Identity::from_session(user, session.expires_at),
            next_recorded_use,
        })
    }

    /// Extends the expiration of a session to a full lifetime from now, but not beyond the maximum age after its
    /// start. The expiration never becomes earlier. The expiration of an impersonation does not change, so that the
    /// authority of the admin over the user ends.
    pub(super) async fn renew_device(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        // The loop repeats if a concurrent renewal or revocation changed the session.
        loop {
            let (user, session) = self.find_device(token).await?;
            let (id, now) = (user.id, self.clock.now());
            if !is_live(token, &session, &user, now) {
                // The cached identity is invalidated before the client learns that the token has ended.
                self.store.invalidate(id);
                return Err(Unauthenticated::TokenExpired.into());
            }
            let is_impersonation = SecretType::Impersonation.matches(&token.0);
            let started_at = (!is_impersonation).then_some(session.created_at);
            let expires_at = self.renewed_expiration(started_at, session.expires_at, now);
            let transaction = self.store.begin().await?;
            if transaction
                .extend_device_session(&session, expires_at)
                .await?
            {
                let renewed = IssuedToken::new(token.clone(), expires_at, user, now);
                let actor = Actor::user(id, Credential::Session(session.digest), client);
                let token = (session.digest, TokenType::DeviceSession);
                return commit_renewal(transaction, renewed, token, actor, now).await;
            }
        }
    }

    /// Returns whether a token has ended because of its expiration. Returns `false` if the session was revoked or its
    /// user is disabled.
    pub(super) async fn device_ended_by_expiration(
        &self,
        token: &BearerToken,
    ) -> Result<bool, Error> {
        let (user, session) = self.find_device(token).await?;
        let was_ended =
            session.is_revoked || user.is_disabled() || is_impersonated_admin(token, &user);
        Ok(!was_ended && !session.is_live_for(&user, self.clock.now()))
    }

    /// Revokes the session of a token. Returns whether this call revoked a live session.
    pub(super) async fn revoke_device(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<bool, Error> {
        let (user, session) = self.find_device(token).await?;
        let (id, digest) = (user.id, session.digest);
        let mut transaction = self.store.begin().await?;
        let record = transaction.lock_user(id).await?;
        let session = transaction.device_session(&digest).await?;
        let (Some(record), Some(session)) = (record, session) else {
            return Ok(false);
        };
        let actor = Actor::user(id, Credential::Session(digest), client);
        let now = self.clock.now();
        let was_live =
            revoke_device_session(&mut transaction, &record.user, &session, &actor, now).await?;
        transaction.commit().await?;
        Ok(was_live)
    }

    /// Returns at most `limit` live device sessions with ids greater than `after`, in ascending order of id.
    pub(crate) async fn live_on_devices(
        &self,
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<LiveToken>, Error> {
        let now = self.clock.now();
        let sessions = self.store.live_device_sessions(after, now, limit).await?;
        let live = sessions.into_iter().map(|(user, session)| LiveToken {
            token_type: TokenType::DeviceSession,
            id: Some(session.id),
            name: Some(session.device),
            user,
            token: session.digest.prefix(),
            expires_at: Some(session.expires_at),
        });
        Ok(live.collect())
    }

    /// Deletes the rows of device sessions that ended more than 30 days ago.
    pub(super) async fn purge_device_sessions(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let end = now - ENDED_RETENTION;
        transaction
            .delete_device_sessions_before(end)
            .await
            .map(drop)
    }

    /// Looks up the session of a token, and the user.
    async fn find_device(&self, token: &BearerToken) -> Result<(User, DeviceSession), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let parse = |secret| TokenSecret::parse(secret, &token.0);
        let secret = parse(SecretType::DeviceSession).or_else(|| parse(SecretType::Impersonation));
        let secret = secret.ok_or(invalid)?;
        let found = self.on_devices.find(secret.digest()).await?;
        Ok(found.ok_or(invalid)?)
    }

    /// Returns the name of the device whose session authenticated the actor, or `None` for other credentials.
    pub(super) async fn device_of(
        &self,
        transaction: &Transaction,
        actor: &Actor,
    ) -> Result<Option<Label>, Error> {
        let Some(Credential::Session(digest)) = actor.credential() else {
            return Ok(None);
        };
        let session = transaction.device_session(digest).await?;
        Ok(session.map(|session| Label(session.device)))
    }
}

/// Revokes sessions of a user until one more session is permitted: expired sessions first, and then the oldest ones.
/// Deletes the rows of sessions that ended first until one more row is permitted. An expired session counts until it is
/// revoked, because a clock that is set back makes it live again.
async fn make_room(
    transaction: &mut Transaction,
    user: &User,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sessions = transaction.device_sessions(user.id).await?;
    let (mut ended, mut open): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| session.is_revoked);
    open.sort_by_key(|session| session.is_live_for(user, now));
    let excess = (open.len() + 1).saturating_sub(MAX_DEVICE_SESSIONS);
    for session in open.drain(..excess) {
        revoke_device_session(transaction, user, &session, actor, now).await?;
        ended.push(session);
    }
    ended.sort_by_key(|session| session.expires_at);
    let excess = (open.len() + ended.len() + 1).saturating_sub(MAX_ROWS);
    ended.truncate(excess);
    if ended.is_empty() {
        return Ok(());
    }
    transaction.delete_device_sessions(&ended).await
}

/// Returns whether the token of a session is live. The token of an impersonation ends when its user becomes an admin, because
/// an admin cannot be impersonated.
fn is_live(token: &BearerToken, session: &DeviceSession, user: &User, now: DateTime<Utc>) -> bool {
    session.is_live_for(user, now) && !is_impersonated_admin(token, user)
}

fn is_impersonated_admin(token: &BearerToken, user: &User) -> bool {
    SecretType::Impersonation.matches(&token.0) && user.role >= Role::Admin
}

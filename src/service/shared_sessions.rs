//! Shared sessions: issues, verifies, renews, revokes and lists their tokens.

use chrono::{DateTime, Utc};

use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::model::live_token::LiveToken;
use crate::model::request_credentials::{BearerToken, TokenType};
use crate::model::session_lifetime::Lifetime;
use crate::model::session_token::{Nonce, SessionToken};
use crate::model::shared_session::SharedSession;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::identity_cache::VerifiedToken;
use crate::service::issued_token::IssuedToken;
use crate::service::revocation_steps::{record_revocation, revoked_expiration};
use crate::service::sessions::{Sessions, commit_renewal};
use crate::service::token_uses::UsedToken;
use crate::store::{NewSession, Transaction};

impl Sessions {
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
        let session = SharedSession {
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
        transaction.record_event(event.with_token(session.digest, TokenType::SharedSession));
        Ok(IssuedToken::new(
            token.into(),
            session.expires_at,
            record.user,
            now,
        ))
    }

    /// Verifies a token against the database.
    pub(super) async fn verify_shared(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (user, session) = self.find_shared(token).await?;
        let now = self.clock.now();
        if !session.is_live_for(&user, now) {
            return Err(Unauthenticated::TokenExpired.into());
        }
        // The last use is stored in another table. Reading it would cost more than a write that changes nothing.
        let used_token = UsedToken::Session(session.digest);
        let next_recorded_use = self.uses.record(used_token, None, now);
        Ok(VerifiedToken {
            identity: Identity::from_session(user, session.expires_at),
            next_recorded_use,
        })
    }

    /// Extends the expiration of a token to a full lifetime from now, but not beyond the maximum age after the
    /// last sign-in. The expiration never becomes earlier.
    pub(super) async fn renew_shared(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        // The loop repeats if a concurrent renewal or revocation changed the session.
        loop {
            let (user, session) = self.find_shared(token).await?;
            let (id, now) = (user.id, self.clock.now());
            if !session.is_live_for(&user, now) {
                // The cached identity is invalidated before the client learns that the token has ended.
                self.store.invalidate(id);
                return Err(Unauthenticated::TokenExpired.into());
            }
            let signed_in_at = user.last_sign_in_at;
            let expires_at = self.renewed_expiration(signed_in_at, session.expires_at, now);
            let transaction = self.store.begin().await?;
            if transaction.extend_session(id, &session, expires_at).await? {
                let renewed = IssuedToken::new(token.clone(), expires_at, user, now);
                let actor = Actor::user(id, Credential::Session(session.digest), client);
                let token = (session.digest, TokenType::SharedSession);
                return commit_renewal(transaction, renewed, token, actor, now).await;
            }
        }
    }

    /// Returns whether the token has ended because of its expiration: the token has expired, or its expiration is too
    /// far in the future because a clock was wrong. Returns `false` if the token was revoked or its user is disabled.
    pub(super) async fn shared_ended_by_expiration(
        &self,
        token: &BearerToken,
    ) -> Result<bool, Error> {
        let (user, session) = self.find_shared(token).await?;
        let was_ended = session.nonce.is_none() || user.is_disabled();
        Ok(!was_ended && !session.is_live(self.clock.now()))
    }

    /// Revokes a token. Returns whether this call revoked a live token.
    pub(super) async fn revoke_shared(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<bool, Error> {
        let (user, session) = self.find_shared(token).await?;
        let (id, now) = (user.id, self.clock.now());
        let mut transaction = self.store.begin().await?;
        let expiration = revoked_expiration(now);
        if !(transaction.revoke_session(id, &session.digest, expiration)).await? {
            return Ok(false);
        }
        let was_live = session.is_live_for(&user, now);
        if was_live {
            let actor = Actor::user(id, Credential::Session(session.digest), client);
            let token = (session.digest, TokenType::SharedSession);
            record_revocation(&mut transaction, id, token, &actor, now);
        }
        transaction.commit().await?;
        Ok(was_live)
    }

    /// Returns the live sessions of at most `limit` users with ids greater than `after`, in ascending order of
    /// user id.
    pub(crate) async fn live_shared(
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

    /// Looks up the session of a token, and the user.
    async fn find_shared(&self, token: &BearerToken) -> Result<(User, SharedSession), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let digest = SessionToken::parse(&token.0).ok_or(invalid)?.digest();
        let found = self.shared.find(digest).await?;
        Ok(found.ok_or(invalid)?)
    }
}

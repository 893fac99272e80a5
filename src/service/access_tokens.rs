//! Creates, lists and revokes access tokens.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::clock::{Clock, MAX_YEAR};
use crate::error::{Error, Unauthenticated};
use crate::model::access_token::AccessToken;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::label::Label;
use crate::model::live_token::LiveToken;
use crate::model::request_credentials::TokenType;
use crate::model::requirement::Requirement;
use crate::model::scopes::Scopes;
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user::UserId;
use crate::service::authorization::Caller;
use crate::service::named_input::NamedInput;
use crate::service::revocation_steps::revoke_access_token;
use crate::store::{NewAccessToken, Store, Transaction};

/// The maximum number of access tokens of a user, including expired tokens.
pub(crate) const MAX_TOKENS: usize = 50;

/// The time for which the row of an expired token is kept. During this time, the token is reported as expired.
/// Afterwards, the token is reported as invalid.
const EXPIRED_RETENTION: TimeDelta = TimeDelta::days(30);

/// The properties of a new access token, as a client sent them.
#[derive(Debug)]
pub(crate) struct AccessTokenForm {
    pub(crate) name: String,
    /// `None` grants all scopes.
    pub(crate) scopes: Option<Vec<String>>,
    /// The lifetime, in seconds. If neither `expires_in` nor `expires_at` is set, the token does not expire.
    pub(crate) expires_in: Option<NamedInput<i64>>,
    pub(crate) expires_at: Option<NamedInput<DateTime<Utc>>>,
}

/// The use cases for access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
}

impl AccessTokens {
    /// Creates a token for the caller. The secret is returned only here, and is not stored.
    pub(crate) async fn create(
        &self,
        caller: Caller<'_>,
        form: AccessTokenForm,
    ) -> Result<(TokenSecret, AccessToken), MutationError> {
        let authorized = caller.authorize(&Requirement::PASSWORD).await?;
        let user = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        let now = self.clock.now();
        let name = Label::parse("name", &form.name);
        let scopes = Scopes::parse(form.scopes.as_deref());
        let expires_at = expiration(&form, now);
        let (name, scopes, expires_at) = match (name, scopes, expires_at) {
            (Ok(name), Ok(scopes), Ok(expires_at)) => (name, scopes, expires_at),
            (name, scopes, expires_at) => {
                return Err([name.err(), scopes.err(), expires_at.err()].into());
            }
        };
        let secret = TokenSecret::random(SecretType::AccessToken)?;
        let mut transaction = self.store.begin().await?;
        let record = transaction.lock_user(user).await?;
        authorized
            .check_again(&transaction, record.as_ref(), now)
            .await?;
        if !make_room(&transaction, user, now).await? {
            let message = format!("You already have {MAX_TOKENS} live tokens. Revoke one of them.");
            return Err(FieldError::new("name", FieldErrorCode::LimitReached, message).into());
        }
        let new = NewAccessToken {
            user,
            name,
            digest: secret.digest(),
            scopes,
            created_at: now,
            expires_at,
        };
        let Some(token) = transaction.insert_access_token(new).await? else {
            let message = "Another token of yours has this name.";
            return Err(FieldError::new("name", FieldErrorCode::Taken, message).into());
        };
        let actor = authorized.actor().clone();
        let event = NewAuditEvent::new(AuditEventKind::TokenIssued, user, actor, now);
        transaction.record_event(event.with_token(token.digest, TokenType::AccessToken));
        transaction.commit().await?;
        Ok((secret, token))
    }

    /// Revokes a token of the caller. Returns whether the token was live.
    pub(crate) async fn revoke_own(&self, caller: Caller<'_>, id: i64) -> Result<bool, Error> {
        let authorized = caller.authorize(&Requirement::WRITE).await?;
        let user = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        revoke_access_token(&self.store, user, id, authorized.actor(), self.clock.now()).await
    }

    /// Reads the tokens of several users in one query. Returns the tokens of each user in the order of
    /// creation.
    pub(crate) async fn of(
        &self,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Vec<Arc<AccessToken>>>, Error> {
        let mut tokens = HashMap::<_, Vec<_>>::new();
        for token in self.store.access_tokens(users).await? {
            tokens.entry(token.user).or_default().push(Arc::new(token));
        }
        Ok(tokens)
    }

    /// Returns at most `limit` live tokens with ids greater than `after`, in ascending order of id.
    pub(crate) async fn live(
        &self,
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<LiveToken>, Error> {
        let now = self.clock.now();
        let tokens = self.store.live_access_tokens(after, now, limit).await?;
        let live = tokens.into_iter().map(|(user, token)| LiveToken {
            token_type: TokenType::AccessToken,
            id: Some(token.id),
            name: Some(token.name),
            user,
            token: token.digest.prefix(),
            expires_at: token.expires_at,
        });
        Ok(live.collect())
    }

    /// Deletes the rows of tokens that expired more than 30 days ago.
    pub(super) async fn purge(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let end = now - EXPIRED_RETENTION;
        transaction.delete_expired_access_tokens(end).await
    }
}

/// Deletes expired tokens of a user, earliest expiration first, until the user has fewer than [`MAX_TOKENS`]
/// tokens. Returns `false` if the user still has too many tokens. Call this function only after
/// `transaction` has locked the user, so that concurrent calls do not exceed the limit.
async fn make_room(
    transaction: &Transaction,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tokens = transaction.access_tokens(user).await?;
    let excess = (tokens.len() + 1).saturating_sub(MAX_TOKENS);
    tokens.retain(|token| token.has_expired(now));
    tokens.sort_by_key(|token| token.expires_at);
    for token in tokens.iter().take(excess) {
        transaction.delete_access_token(token).await?;
    }
    Ok(tokens.len() >= excess)
}

fn expiration(
    form: &AccessTokenForm,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let refuse = |field, message: &str| {
        let message = message.to_owned();
        Err(FieldError::new(field, FieldErrorCode::Invalid, message))
    };
    let (field, expiration) = match (form.expires_in, form.expires_at) {
        (None, None) => return Ok(None),
        (Some(seconds), Some(NamedInput { field, .. })) => {
            let message = format!("Set either {} or {field}, not both.", seconds.field);
            return refuse(field, &message);
        }
        (Some(NamedInput { field, value }), None) if value < 1 => {
            return refuse(field, "The lifetime must be at least one second.");
        }
        (Some(NamedInput { field, value }), None) => {
            let lifetime = TimeDelta::try_seconds(value);
            (
                field,
                lifetime.and_then(|lifetime| now.checked_add_signed(lifetime)),
            )
        }
        (None, Some(NamedInput { field, value })) => (field, Some(value)),
    };
    match expiration.filter(|expiration| expiration.year() <= MAX_YEAR) {
        None => refuse(field, "The expiration must be before the year 10000."),
        Some(expiration) if expiration <= now => {
            refuse(field, "The expiration must be in the future.")
        }
        expiration => Ok(expiration),
    }
}

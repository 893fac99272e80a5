//! Make, verify and revoke access tokens, and note when they are used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::access_token::{AccessToken, AccessTokenSecret, TokenName};
use crate::model::audit_event::{Actor, AuditEventKind, Client, Credential, NewEvent};
use crate::model::credentials::BearerToken;
use crate::model::identity::{Access, Identity};
use crate::model::live_token::LiveToken;
use crate::model::requirement::Requirement;
use crate::model::scopes::Scopes;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
use crate::service::authorization::Caller;
use crate::service::identity_cache::VerifiedToken;
use crate::store::{NewAccessToken, Store, Transaction};

/// The number of tokens that an account has at most, those that have expired included.
pub(crate) const MOST_TOKENS: usize = 50;

/// The last year that an instant of RFC 3339 can be in.
const MAX_YEAR: i32 = 9999;

/// A use is recorded this often at most.
const USE_PRECISION: TimeDelta = TimeDelta::minutes(1);

/// What somebody typed to make an access token.
#[derive(Debug)]
pub(crate) struct AccessTokenForm {
    pub(crate) name: String,
    /// Everything if it is left out.
    pub(crate) scopes: Option<Vec<String>>,
    /// In so many seconds; never if neither this nor an instant is given.
    pub(crate) expires_in: Option<i64>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// The life of access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    /// Uses that are not written down yet.
    pub(crate) used: Mutex<HashMap<i64, DateTime<Utc>>>,
}

impl AccessTokens {
    /// Makes a token of the caller. It is given out here, and never again.
    pub(crate) async fn create(
        &self,
        caller: Caller<'_>,
        form: AccessTokenForm,
    ) -> Result<(AccessTokenSecret, AccessToken), MutationError> {
        let by = caller.authorize(&Requirement::PASSWORD).await?;
        let user = by.user_id().ok_or(Unauthenticated::Missing)?;
        let now = self.clock.now();
        let name = TokenName::parse(&form.name);
        let scopes = Scopes::parse(form.scopes.as_deref());
        let expires_at = expiration(&form, now);
        let (name, scopes, expires_at) = match (name, scopes, expires_at) {
            (Ok(name), Ok(scopes), Ok(expires_at)) => (name, scopes, expires_at),
            (name, scopes, expires_at) => {
                let errors = [name.err(), scopes.err(), expires_at.err()];
                return Err(MutationError::Fields(
                    errors.into_iter().flatten().collect(),
                ));
            }
        };
        let secret = AccessTokenSecret::random()?;
        let mut transaction = self.store.begin().await?;
        by.check_again(transaction.lock_user(user).await?.as_ref())?;
        if !make_room(&transaction, user, now).await? {
            let message = "There are 50 live tokens already. Revoke one.";
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
        let event = NewEvent::new(AuditEventKind::TokenIssued, user, by.actor().clone(), now);
        transaction.record_event(event.with_token(token.digest));
        transaction.commit().await?;
        Ok((secret, token))
    }

    /// Finds who the token speaks for.
    pub(crate) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (account, token) = self.find(token).await?;
        let now = self.clock.now();
        if !token.is_live_for(&account.user, now) {
            return Err(Unauthenticated::TokenExpired.into());
        }
        let recorded = token
            .last_used_at
            .filter(|at| (now - *at).abs() < USE_PRECISION);
        if recorded.is_none() {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(token.id, now);
        }
        // Then it is to be recorded again.
        let until = recorded.unwrap_or(now) + USE_PRECISION;
        let access = Access {
            id: token.id,
            scopes: token.scopes,
        };
        Ok(VerifiedToken {
            identity: Identity::from_access_token(account.user, token.expires_at, access),
            until: token.expires_at.map_or(until, |at| at.min(until)),
        })
    }

    /// Whether time alone has ended the token: nobody revoked it or disabled its user.
    pub(super) async fn has_expired(&self, token: &BearerToken) -> Result<bool, Error> {
        let (account, token) = self.find(token).await?;
        Ok(!account.user.is_disabled() && token.has_expired(self.clock.now()))
    }

    /// Ends the token that is sent as Bearer. True when it was live.
    pub(crate) async fn revoke_itself(
        &self,
        token: &BearerToken,
        client: &Client,
    ) -> Result<bool, Error> {
        let (account, token) = self.find(token).await?;
        let id = account.user.id;
        self.end(
            id,
            token.id,
            Actor::user(id, Credential::AccessToken(token.id), client),
        )
        .await
    }

    /// Ends a token of the caller. True when this call ended a live one.
    pub(crate) async fn revoke_own(&self, caller: Caller<'_>, id: i64) -> Result<bool, Error> {
        let by = caller.authorize(&Requirement::WRITE).await?;
        let user = by.user_id().ok_or(Unauthenticated::Missing)?;
        by.discard_identity();
        self.end(user, id, by.actor().clone()).await
    }

    async fn end(&self, user: UserId, id: i64, actor: Actor) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut transaction = self.store.begin().await?;
        let tokens = transaction.access_tokens(user).await?;
        let Some(token) = tokens.iter().find(|token| token.id == id) else {
            self.store.invalidate(user);
            return Ok(false);
        };
        let ended = end_these(&mut transaction, std::slice::from_ref(token), &actor, now).await?;
        transaction.commit().await?;
        Ok(ended > 0)
    }

    /// The tokens of several accounts, in one query, each account's in the order in which they were made.
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

    /// The tokens that are honoured, after the one of this number, in the order of their numbers.
    pub(crate) async fn live(
        &self,
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<LiveToken>, Error> {
        let now = self.clock.now();
        let tokens = self.store.live_access_tokens(after, now, limit).await?;
        let live = tokens.into_iter().map(|(account, token)| LiveToken {
            id: Some(token.id),
            name: Some(token.name),
            user: account.user,
            token: token.digest.prefix(),
            expires_at: token.expires_at,
        });
        Ok(live.collect())
    }

    /// Writes down which tokens were used since the last time.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        // In an order: instances that write the same rows at once would wait for each other otherwise.
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable();
        let written = async {
            let transaction = self.store.begin().await?;
            for (id, at) in &used {
                transaction.record_use(*id, *at).await?;
            }
            transaction.commit().await
        };
        let written = written.await;
        if written.is_err() {
            // The next round writes them.
            let mut again = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in used {
                again.entry(id).or_insert(at);
            }
        }
        written
    }

    async fn find(&self, token: &BearerToken) -> Result<(UserRecord, AccessToken), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let secret = AccessTokenSecret::parse(&token.0).ok_or(invalid)?;
        let found = self.store.access_by_digest(&secret.digest()).await?;
        Ok(found.ok_or(invalid)?)
    }
}

/// Deletes the tokens of an account that expired first, until there is room for one more. False if too
/// many of them are live. The transaction has to hold the account.
async fn make_room(
    transaction: &Transaction,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tokens = transaction.access_tokens(user).await?;
    let excess = (tokens.len() + 1).saturating_sub(MOST_TOKENS);
    tokens.retain(|token| token.has_expired(now));
    tokens.sort_by_key(|token| token.expires_at);
    for token in tokens.iter().take(excess) {
        transaction.delete_access_token(token).await?;
    }
    Ok(tokens.len() >= excess)
}

/// Ends every access token of an account, as part of something larger; how many were live.
pub(super) async fn end_all(
    transaction: &mut Transaction,
    user: UserId,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    let tokens = transaction.access_tokens(user).await?;
    end_these(transaction, &tokens, actor, now).await
}

async fn end_these(
    transaction: &mut Transaction,
    tokens: &[AccessToken],
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u32, Error> {
    let mut live = 0;
    for token in tokens {
        transaction.delete_access_token(token).await?;
        if !token.has_expired(now) {
            let kind = AuditEventKind::TokenRevoked;
            let event = NewEvent::new(kind, token.user, actor.clone(), now);
            transaction.record_event(event.with_token(token.digest));
            live += 1;
        }
    }
    Ok(live)
}

fn expiration(
    form: &AccessTokenForm,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let refuse = |field, message| Err(FieldError::new(field, FieldErrorCode::Invalid, message));
    match (form.expires_in, form.expires_at) {
        (None, None) => Ok(None),
        (Some(seconds @ 1..), None) => Ok(Some(now + TimeDelta::seconds(seconds))),
        (None, Some(at)) if at.year() > MAX_YEAR => {
            refuse("expiresAt", "A token expires before the year 10000.")
        }
        (None, Some(at)) if at > now => Ok(Some(at)),
        (Some(_), None) => refuse("expiresIn", "A token lives for a second at least."),
        (None, Some(_)) => refuse("expiresAt", "A token expires in the future."),
        (Some(_), Some(_)) => refuse("expiresAt", "Give expiresIn or expiresAt, not both."),
    }
}

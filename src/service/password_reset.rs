//! Sets a password with a one-time token.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::one_time_token::OneTimeToken;
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user_record::UserRecord;
use crate::service::named_input::NamedInput;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::revoke_all_tokens;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;

impl Users {
    /// Sets the password of the user to whom the one-time token was issued, and revokes all tokens of the user,
    /// because the tokens may have been copied. The request needs no credentials. The user is not signed in.
    pub(crate) async fn reset_password(
        &self,
        request: &Authentication,
        token: NamedInput<&str>,
        new: NamedInput<&str>,
    ) -> Result<VisibleUser, MutationError> {
        // All checks without side effects come first, so that no hash is computed for an invalid token or password.
        let not_valid = || refusal(token.field, NOT_VALID);
        let secret = TokenSecret::parse(SecretType::OneTimeToken, token.value);
        let digest = secret.ok_or_else(not_valid)?.digest();
        let found = self.store.find_one_time_token(&digest).await?;
        let found = found.ok_or_else(not_valid)?;
        let id = found.user;
        let record = self.store.find_user_by_id(id).await?;
        let (record, _) = check(record, Some(found), token.field, self.clock.now())?;
        let new = self
            .rules
            .parse_new(new.value, &record.user.username, new.field)?;
        request.claim_new_hash()?;
        let admission = self.throttle.admit_password_reset(id, request.client());
        let hash = self.hash(admission.await?, new).await?;

        let mut transaction = self.store.begin().await?;
        let now = self.clock.now();
        // The checks are repeated with locked rows, because a concurrent request may have used the token.
        let record = transaction.lock_user(id).await?;
        let found = transaction.lock_one_time_token(&digest).await?;
        let (record, found) = check(record, found, token.field, now)?;
        if !transaction.use_one_time_token(&found, now).await? {
            return Err(not_valid().into());
        }
        let actor = Actor::user(id, Credential::OneTimeToken(digest), request.client());
        revoke_all_tokens(&mut transaction, &record, &actor, now).await?;
        transaction.set_password(id, &hash).await?;
        self.throttle.clear(&transaction, &record.user).await?;
        let event = NewAuditEvent::new(AuditEventKind::PasswordChanged, id, actor, now);
        transaction.record_event(event);
        let record = transaction.lock_user(id).await?;
        let record = record.ok_or_else(|| Error::internal("the locked user is missing"))?;
        transaction.commit().await?;
        Ok(VisibleUser::whole(record.user))
    }
}

const NOT_VALID: &str = "This link is not valid. Check that you opened the whole link and the latest one, or ask \
                         for a new link.";

/// Fails unless the token exists, is unused and has not expired, and its user is enabled.
fn check(
    record: Option<UserRecord>,
    token: Option<OneTimeToken>,
    field: &'static str,
    now: DateTime<Utc>,
) -> Result<(UserRecord, OneTimeToken), FieldError> {
    let record = record.filter(|record| !record.user.is_disabled());
    let (Some(record), Some(token)) = (record, token) else {
        return Err(refusal(field, NOT_VALID));
    };
    if token.used_at.is_some() {
        let message = "This link has already been used. Sign in, or ask for a new link.";
        return Err(refusal(field, message));
    }
    if token.has_expired(now) {
        return Err(refusal(field, "This link has expired. Ask for a new link."));
    }
    Ok((record, token))
}

fn refusal(field: &'static str, message: &'static str) -> FieldError {
    FieldError::new(field, FieldErrorCode::Invalid, message)
}

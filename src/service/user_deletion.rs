//! Deletes users.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::service::authorization::{Authorized, Caller};
use crate::service::named_input::NamedInput;
use crate::service::throttle::Attempt;
use crate::service::users::Users;
use crate::store::is_foreign_key_violation;

impl Users {
    /// Deletes the user `id`, or the caller's own user if `id` is `None`. Callers must confirm the deletion of
    /// their own user with the password. To delete another user, the caller must be an admin or the operator.
    pub(crate) async fn delete(
        &self,
        caller: Caller<'_>,
        id: Option<UserId>,
        password: NamedInput<&str>,
    ) -> Result<UserId, MutationError> {
        let (id, is_own) = caller.target(id).await?;
        let role = if is_own { Role::User } else { Role::Admin };
        let requirement = Requirement::WRITE.with_role(role);
        let authorized = caller.authorize(&requirement).await?;
        let confirmed = match caller {
            // With Basic credentials, the password has already been verified.
            Caller::Request(request) if is_own && !authorized.used_password() => {
                let record = self.own_record(&authorized).await?;
                request.claim_verification()?;
                let sign_in = &request.authenticator().sign_in;
                let confirmed = sign_in.confirm(&record, password, authorized.actor());
                Some((record.password_version, confirmed.await?.attempt))
            }
            Caller::Request(_) | Caller::Operator => None,
        };
        let deleted = self.delete_confirmed(authorized, id, confirmed.as_ref());
        match (deleted.await, &confirmed) {
            // The commit may have given the attempt back.
            (Err(MutationError::Error(Error::OutcomeUnknown)), _) => {
                Err(Error::OutcomeUnknown.into())
            }
            // The password was right, so the attempt is not counted.
            (Err(refusal), Some((_, attempt))) => {
                let refused = Err(refusal);
                self.throttle.give_back_if_failed(attempt, refused).await
            }
            (deleted, _) => deleted,
        }
    }

    /// Deletes a user. `confirmed` contains the version of the password that was confirmed, and the attempt.
    async fn delete_confirmed(
        &self,
        authorized: Authorized,
        id: UserId,
        confirmed: Option<&(i64, Attempt)>,
    ) -> Result<UserId, MutationError> {
        let mut change = self.begin(authorized, id).await?;
        if let Some((version, attempt)) = confirmed {
            if change.record.password_version != *version {
                // A concurrent change of the password has revoked the token.
                return Err(Unauthenticated::TokenExpired.into());
            }
            attempt.give_back(&change.transaction).await?;
        }
        change.require_other_admin().await?;
        // The row is locked, so no other transaction can insert a row whose foreign key refers to the user.
        let user = &change.record.user;
        self.hooks.before_delete(&change.transaction, user).await?;
        change.revoke_tokens().await?;
        let deleted = change.transaction.delete_user(id).await;
        deleted.map_err(deletion_error)?;
        let user = &change.record.user;
        self.hooks.after_delete(&change.transaction, user).await?;
        let username = user.username.clone();
        let event = change.event(AuditEventKind::Deleted);
        let event = event.with_detail(AuditEventDetail::Deleted { username });
        change.transaction.record_event(event);
        // The commit checks deferred foreign keys.
        change.transaction.commit().await.map_err(deletion_error)?;
        Ok(id)
    }
}

/// Converts the error of a deletion that a foreign key of the application refuses.
fn deletion_error(error: Error) -> MutationError {
    if !is_foreign_key_violation(&error) {
        return error.into();
    }
    tracing::warn!(cause = ?error, "a foreign key refuses the deletion of a user");
    let message = "The user cannot be deleted, because other data refers to the user.";
    FieldError::new("id", FieldErrorCode::InUse, message).into()
}

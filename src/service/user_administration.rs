//! Changes roles, disables and enables users, and sets passwords.

use crate::error::Error;
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::service::authorization::Caller;
use crate::service::named_input::NamedInput;
use crate::service::user_change::no_such_user;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;

/// Requires an admin.
pub(super) const ADMIN_WRITE: Requirement<'static> = Requirement::WRITE.with_role(Role::Admin);
/// Requires an admin who sends the password. For operations that grant authority.
pub(super) const ADMIN_PASSWORD: Requirement<'static> =
    Requirement::PASSWORD.with_role(Role::Admin);

impl Users {
    /// Sets the role of a user.
    pub(crate) async fn set_role(
        &self,
        caller: Caller<'_>,
        id: UserId,
        role: Role,
    ) -> Result<VisibleUser, MutationError> {
        let change = self.authorize_change(caller, &ADMIN_PASSWORD, id).await?;
        let old = change.record.user.role;
        if old == role {
            return Ok(change.cancel());
        }
        if role < Role::Admin {
            change.require_other_admin().await?;
        }
        change.transaction.set_role(id, role).await?;
        let detail = AuditEventDetail::Role { old, new: role };
        change.commit(AuditEventKind::RoleChanged, detail).await
    }

    /// Disables a user, and revokes all tokens of the user.
    pub(crate) async fn disable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, MutationError> {
        let mut change = self.authorize_change(caller, &ADMIN_WRITE, id).await?;
        if change.record.user.is_disabled() {
            return Ok(change.cancel());
        }
        change.require_other_admin().await?;
        change.revoke_tokens().await?;
        let now = Some(change.now);
        change.transaction.set_disabled(id, now).await?;
        change
            .commit(AuditEventKind::Disabled, AuditEventDetail::None)
            .await
    }

    /// Enables a disabled user. Revoked tokens stay revoked.
    pub(crate) async fn enable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, MutationError> {
        let change = self.authorize_change(caller, &ADMIN_PASSWORD, id).await?;
        if !change.record.user.is_disabled() {
            return Ok(change.cancel());
        }
        change.transaction.set_disabled(id, None).await?;
        change
            .commit(AuditEventKind::Enabled, AuditEventDetail::None)
            .await
    }

    /// Sets the password of another user, and revokes all tokens of that user.
    pub(crate) async fn set_password(
        &self,
        caller: Caller<'_>,
        id: UserId,
        new: NamedInput<&str>,
    ) -> Result<VisibleUser, MutationError> {
        let authorized = caller.authorize(&ADMIN_PASSWORD).await?;
        caller.claim_new_hash()?;
        if authorized.user_id() == Some(id) {
            let message = "This is your own account. Confirm the current password to change it.";
            return Err(Error::BadUserInput(message.to_owned()).into());
        }
        // The user is looked up before the expensive hash is computed.
        let record = self.store.find_user_by_id(id).await?;
        let username = record.ok_or_else(no_such_user)?.user.username;
        let new = self.rules.parse_new(new.value, &username, new.field)?;
        let admission = self.throttle.admit_new_password(authorized.actor()).await?;
        let hash = self.hash(admission, new).await?;
        let mut change = self.begin(authorized, id).await?;
        change.revoke_tokens().await?;
        change.transaction.set_password(id, &hash).await?;
        self.throttle
            .clear(&change.transaction, &change.record.user)
            .await?;
        change
            .commit(AuditEventKind::PasswordChanged, AuditEventDetail::None)
            .await
    }
}

//! Changes roles, and disables and enables users.

use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::service::authorization::Caller;
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
}

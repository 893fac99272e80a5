//! Changes roles, disables and enables users, and revokes all tokens of users.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_kind::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::service::authorization::Caller;
use crate::service::revocation::revoke_all_tokens;
use crate::service::user_change::UserChange;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;

/// The number of users whose tokens [`Users::revoke_all_tokens`] revokes in one transaction. Each user has at
/// most one session and 50 access tokens.
const USERS_PER_TRANSACTION: u64 = 100;

/// Requires an admin.
const ADMIN_WRITE: Requirement<'static> = Requirement::WRITE.with_role(Role::Admin);
/// Requires an admin who sends the password. For operations that grant authority.
const ADMIN_PASSWORD: Requirement<'static> = Requirement::PASSWORD.with_role(Role::Admin);

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
        let now = Some(self.clock.now());
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

    /// Revokes all tokens of a user. Returns the number of tokens that were live.
    pub(crate) async fn revoke_tokens(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<u32, MutationError> {
        revoke(self.authorize_change(caller, &ADMIN_WRITE, id).await?).await
    }

    /// Revokes all tokens of the caller. Returns the number of tokens that were live.
    pub(crate) async fn revoke_own_tokens(&self, caller: Caller<'_>) -> Result<u32, MutationError> {
        let authorized = caller.authorize(&Requirement::WRITE).await?;
        let id = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        revoke(self.begin(authorized, id).await?).await
    }

    /// Revokes all tokens of all users, in several transactions. Returns the number of tokens that were live.
    /// After an error, this method can be called again.
    pub(crate) async fn revoke_all_tokens(&self, caller: Caller<'_>) -> Result<u64, Error> {
        let authorized = caller.authorize(&ADMIN_PASSWORD).await?;
        let (mut after, mut revoked) = (None, 0);
        loop {
            let mut transaction = self.store.begin().await?;
            let records = transaction.users_with_tokens(after, USERS_PER_TRANSACTION);
            let records = records.await?;
            let Some(last) = records.last() else {
                return Ok(revoked);
            };
            after = Some(last.user.id);
            let (actor, now) = (authorized.actor(), self.clock.now());
            for record in &records {
                let live = revoke_all_tokens(&mut transaction, record, actor, now).await?;
                revoked += u64::from(live);
            }
            transaction.commit().await?;
        }
    }
}

async fn revoke(mut change: UserChange) -> Result<u32, MutationError> {
    let revoked = change.revoke_tokens().await?;
    change.transaction.commit().await?;
    Ok(revoked)
}

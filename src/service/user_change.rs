//! A change of one user in a transaction.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::model::audit_event::{AuditEventDetail, NewAuditEvent};
use crate::model::audit_event_kind::AuditEventKind;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::user::{Role, UserId};
use crate::model::user_record::UserRecord;
use crate::service::authorization::Authorized;
use crate::service::revocation_steps::revoke_all_tokens;
use crate::service::visible_user::VisibleUser;
use crate::store::{Store, Transaction};

/// A change of one user by an authorized caller.
pub(super) struct UserChange {
    pub(super) authorized: Authorized,
    now: DateTime<Utc>,
    pub(super) transaction: Transaction,
    /// The user before the change. The row is locked until the transaction ends.
    pub(super) record: UserRecord,
}

impl UserChange {
    /// Begins a change of the user `id`. Locks the rows of this user and of the acting user, and repeats the
    /// authorization of the acting user.
    pub(super) async fn begin(
        store: &Store,
        authorized: Authorized,
        id: UserId,
        now: DateTime<Utc>,
    ) -> Result<Self, MutationError> {
        let transaction = store.begin().await?;
        // The rows are locked in the order of their ids, so that two transactions that lock the same rows do
        // not deadlock.
        let (record, acting) = match authorized.user_id() {
            Some(acting) if acting < id => {
                let acting = transaction.lock_user(acting).await?;
                (transaction.lock_user(id).await?, acting)
            }
            Some(acting) if acting > id => {
                let record = transaction.lock_user(id).await?;
                (record, transaction.lock_user(acting).await?)
            }
            Some(_) | None => {
                let record = transaction.lock_user(id).await?;
                (record.clone(), record)
            }
        };
        let record = record.ok_or_else(no_such_user)?;
        authorized.check_again(acting.as_ref(), now)?;
        Ok(Self {
            authorized,
            now,
            transaction,
            record,
        })
    }

    /// Fails if the user is the last admin who can sign in.
    pub(super) async fn require_other_admin(&self) -> Result<(), MutationError> {
        let user = &self.record.user;
        if user.role == Role::Admin
            && user.has_password
            && !user.is_disabled()
            && !self.transaction.lock_and_find_other_admin(user.id).await?
        {
            let message = "There would be no admin left.";
            return Err(FieldError::new("id", FieldErrorCode::LastAdmin, message).into());
        }
        Ok(())
    }

    /// Revokes all tokens of the user, and deletes the unused one-time tokens of the user. Returns the number of
    /// session tokens and access tokens that were live.
    pub(super) async fn revoke_tokens(&mut self) -> Result<u32, Error> {
        let actor = self.authorized.actor();
        revoke_all_tokens(&mut self.transaction, &self.record, actor, self.now).await
    }

    /// Returns an audit event for the change.
    pub(super) fn event(&self, kind: AuditEventKind) -> NewAuditEvent {
        let actor = self.authorized.actor().clone();
        NewAuditEvent::new(kind, self.record.user.id, actor, self.now)
    }

    /// Cancels the change. Returns the unchanged user, with the fields that the caller can read.
    pub(super) fn cancel(self) -> VisibleUser {
        self.authorized.viewer().sees(self.record.user)
    }

    /// Records the change in the audit trail, and commits it. Returns the changed user.
    pub(super) async fn commit(
        mut self,
        kind: AuditEventKind,
        detail: AuditEventDetail,
    ) -> Result<VisibleUser, MutationError> {
        let event = self.event(kind).with_detail(detail);
        self.transaction.record_event(event);
        let record = self.transaction.lock_user(self.record.user.id).await?;
        let record = record.ok_or_else(no_such_user)?;
        self.transaction.commit().await?;
        Ok(self.authorized.viewer().sees(record.user))
    }
}

/// Returns the error for an id that no user has.
pub(super) fn no_such_user() -> MutationError {
    FieldError::new("id", FieldErrorCode::Invalid, "There is no such user.").into()
}

//! Changes passwords. Callers change their own password, and admins set the passwords of other users.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_kind::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::password::Password;
use crate::model::password_hash::PasswordHash;
use crate::model::requirement::Requirement;
use crate::model::user::UserId;
use crate::service::authorization::Caller;
use crate::service::named_input::Input;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::{revoke_other_tokens, revoke_shared_session};
use crate::service::sessions::IssuedToken;
use crate::service::throttle::Admission;
use crate::service::user_administration::ADMIN_PASSWORD;
use crate::service::user_change::no_such_user;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;

impl Users {
    /// Changes the password of the caller, who must confirm the current password. Revokes all tokens of the
    /// caller, because the tokens may have been copied, and issues a new token. A caller with a device session gets a
    /// new session for the same device.
    pub(crate) async fn change_password(
        &self,
        request: &Authentication,
        current: Input<&str>,
        new: Input<&str>,
    ) -> Result<IssuedToken, MutationError> {
        let caller = Caller::from(request);
        let authorized = caller.authorize(&Requirement::SESSION).await?;
        let record = self.own_record(&authorized).await?;
        let new = self
            .rules
            .parse_new(new.value, &record.user.username, new.field)?;
        request.claim_verification()?;
        request.claim_new_hash()?;
        let authenticator = request.authenticator();
        let confirmed = authenticator
            .sign_in
            .confirm(&record, current, authorized.actor());
        let hash = self.hash(confirmed.await?, new).await?;
        let mut change = self.begin(authorized, record.user.id).await?;
        let (transaction, now) = (&mut change.transaction, change.now);
        if !transaction.change_password(&record, &hash, now).await? {
            // A concurrent request changed the password, and thereby revoked the token.
            return Err(Unauthenticated::TokenExpired.into());
        }
        self.throttle
            .clear(transaction, &change.record.user)
            .await?;
        let sessions = &authenticator.sessions;
        let actor = change.authorized.actor().clone();
        let device = sessions.device_of(transaction, &actor).await?;
        revoke_other_tokens(transaction, &change.record.user, &actor, now).await?;
        let changed = change.event(AuditEventKind::PasswordChanged);
        let (mut record, transaction) = (change.record, &mut change.transaction);
        transaction.record_event(changed);
        record.user.last_sign_in_at = Some(now);
        let issued = if let Some(device) = device {
            revoke_shared_session(transaction, &record, &actor, now).await?;
            let started =
                sessions.start_device_session(transaction, record.user, &device, None, &actor, now);
            started.await?
        } else {
            let started = sessions.start_shared_session(transaction, record, None, &actor, now);
            started.await?
        };
        change.transaction.commit().await?;
        Ok(issued)
    }

    /// Sets the password of another user, and revokes all tokens of that user.
    pub(crate) async fn set_password(
        &self,
        caller: Caller<'_>,
        id: UserId,
        new: Input<&str>,
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

    /// Hashes a new password. If hashing fails, the attempt is not counted.
    async fn hash(&self, admission: Admission, new: Password) -> Result<PasswordHash, Error> {
        let Admission { attempt, mut slot } = admission;
        let hash = slot.hash(new).await;
        drop(slot);
        self.throttle.give_back_if_failed(&attempt, hash).await
    }
}

//! Changes passwords. Callers change their own password, and admins set the passwords of other users.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_kind::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::password::Password;
use crate::model::password_hash::PasswordHash;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::service::authorization::Caller;
use crate::service::named_input::Input;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::revoke_all_access_tokens;
use crate::service::sessions::IssuedToken;
use crate::service::throttle::Admission;
use crate::service::user_change::no_such_user;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;

impl Users {
    /// Changes the password of the caller, who must confirm the current password. Revokes all tokens of the
    /// caller, including one-time tokens, since someone else may have copied them, and issues a new session token.
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
        let (id, now) = (record.user.id, self.clock.now());
        let (token, session) = authenticator.sessions.new_session(id, None, now)?;
        let mut change = self.begin(authorized, id).await?;
        let (transaction, actor) = (&mut change.transaction, change.authorized.actor());
        let is_changed = transaction.change_password(&record, &hash, &session, now);
        if !is_changed.await? {
            // A concurrent request changed the password, and thereby revoked the token.
            return Err(Unauthenticated::TokenExpired.into());
        }
        self.throttle.clear(transaction, &record.user).await?;
        revoke_all_access_tokens(transaction, id, actor, now).await?;
        transaction.delete_unused_one_time_tokens(id, None).await?;
        let changed = change.event(AuditEventKind::PasswordChanged);
        change.transaction.record_event(changed);
        let issued = change.event(AuditEventKind::TokenIssued);
        change
            .transaction
            .record_event(issued.with_token(session.digest));
        change.transaction.commit().await?;
        let mut user = record.user;
        user.last_sign_in_at = Some(now);
        Ok(IssuedToken::new(token, session.expires_at, user, now))
    }

    /// Sets the password of another user, and revokes all tokens of that user.
    pub(crate) async fn set_password(
        &self,
        caller: Caller<'_>,
        id: UserId,
        new: Input<&str>,
    ) -> Result<VisibleUser, MutationError> {
        let requirement = Requirement::PASSWORD.with_role(Role::Admin);
        let authorized = caller.authorize(&requirement).await?;
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
    pub(super) async fn hash(
        &self,
        admission: Admission,
        new: Password,
    ) -> Result<PasswordHash, Error> {
        let Admission { attempt, mut slot } = admission;
        let hash = slot.hash(new).await;
        drop(slot);
        self.throttle.give_back_if_failed(&attempt, hash).await
    }
}

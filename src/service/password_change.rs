//! Changes the password of the caller.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::password::Password;
use crate::model::password_hash::PasswordHash;
use crate::model::requirement::Requirement;
use crate::service::authorization::Caller;
use crate::service::named_input::Input;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::revoke_all_access_tokens;
use crate::service::sessions::IssuedToken;
use crate::service::throttle::Admission;
use crate::service::users::Users;

impl Users {
    /// Changes the password of the caller, who must confirm the current password. Revokes all tokens of the
    /// caller, because the tokens may have been copied, and issues a new session token.
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
        self.throttle
            .clear(transaction, &change.record.user)
            .await?;
        revoke_all_access_tokens(transaction, id, actor, now).await?;
        let changed = change.event(AuditEventKind::PasswordChanged);
        change.transaction.record_event(changed);
        let issued = change.event(AuditEventKind::TokenIssued);
        change
            .transaction
            .record_event(issued.with_token(session.digest));
        change.transaction.commit().await?;
        let mut user = change.record.user;
        user.last_sign_in_at = Some(now);
        Ok(IssuedToken::new(token, session.expires_at, user, now))
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

//! Changes the password of the caller.

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::field_errors::MutationError;
use crate::model::password::Password;
use crate::model::password_hash::PasswordHash;
use crate::model::requirement::Requirement;
use crate::model::token_secret::SecretType;
use crate::service::authorization::Caller;
use crate::service::issued_token::IssuedToken;
use crate::service::named_input::NamedInput;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::{revoke_other_tokens, revoke_shared_session};
use crate::service::throttle::Admission;
use crate::service::token_options::NewDeviceSession;
use crate::service::users::Users;

impl Users {
    /// Changes the password of the caller, who must confirm the current password. Revokes all tokens of the
    /// caller, because the tokens may have been copied, and issues a new token. A caller with a device session gets a
    /// new session for the same device.
    pub(crate) async fn change_password(
        &self,
        request: &Authentication,
        current: NamedInput<&str>,
        new: NamedInput<&str>,
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
            let new = NewDeviceSession {
                secret: SecretType::DeviceSession,
                device: &device,
                lifetime: None,
            };
            let started = sessions.start_device_session(transaction, record.user, new, &actor, now);
            started.await?
        } else {
            let started = sessions.start_shared_session(transaction, record, None, &actor, now);
            started.await?
        };
        change.transaction.commit().await?;
        Ok(issued)
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

//! Revokes all tokens of the caller, of one user, or of all users.

use crate::error::{Error, Unauthenticated};
use crate::model::field_errors::MutationError;
use crate::model::requirement::Requirement;
use crate::model::user::UserId;
use crate::service::authorization::Caller;
use crate::service::revocation_steps::revoke_all_tokens;
use crate::service::user_administration::{ADMIN_PASSWORD, ADMIN_WRITE};
use crate::service::user_change::UserChange;
use crate::service::users::Users;

/// The number of users whose tokens [`Users::revoke_all_tokens`] revokes in one transaction. Each user has at
/// most one shared session, 100 rows for device sessions, and 50 access tokens.
const USERS_PER_TRANSACTION: u64 = 100;

impl Users {
    /// Revokes all tokens of a user, including unused one-time tokens. Returns the number of session tokens and
    /// access tokens that were live.
    pub(crate) async fn revoke_tokens(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<u32, MutationError> {
        revoke(self.authorize_change(caller, &ADMIN_WRITE, id).await?).await
    }

    /// Revokes all tokens of the caller, like [`Self::revoke_tokens`].
    pub(crate) async fn revoke_own_tokens(&self, caller: Caller<'_>) -> Result<u32, MutationError> {
        let authorized = caller.authorize(&Requirement::WRITE).await?;
        let id = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        revoke(self.begin(authorized, id).await?).await
    }

    /// Revokes all tokens of all users, including unused one-time tokens, in several transactions. Returns the number
    /// of session tokens and access tokens that were live.
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

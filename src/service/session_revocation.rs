//! Revokes sessions of the caller.

use crate::error::Unauthenticated;
use crate::model::actor::Credential;
use crate::model::field_errors::MutationError;
use crate::model::requirement::Requirement;
use crate::model::token_digest::TokenDigest;
use crate::service::authorization::Caller;
use crate::service::revocation_steps::{revoke_device_session, revoke_shared_session};
use crate::service::user_change::UserChange;
use crate::service::users::Users;

impl Users {
    /// Revokes the session of the caller whose token has a digest with the prefix `id`. Returns whether the session
    /// was live.
    pub(crate) async fn revoke_own_session(
        &self,
        caller: Caller<'_>,
        id: &str,
    ) -> Result<bool, MutationError> {
        let change = self.begin_own_revocation(caller).await?;
        Ok(revoke(change, |prefix, _| prefix == id).await? > 0)
    }

    /// Revokes all sessions of the caller except the session of the request. Returns the number of sessions that were
    /// live.
    pub(crate) async fn revoke_other_sessions(
        &self,
        caller: Caller<'_>,
    ) -> Result<u32, MutationError> {
        let change = self.begin_own_revocation(caller).await?;
        revoke(change, |_, is_current| !is_current).await
    }

    async fn begin_own_revocation(&self, caller: Caller<'_>) -> Result<UserChange, MutationError> {
        let authorized = caller.authorize(&Requirement::WRITE).await?;
        let id = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        self.begin(authorized, id).await
    }
}

/// Revokes the selected sessions of a user. `selects` gets the id of a session, and whether it is the session of the
/// request. Returns the number of sessions that were live.
async fn revoke(
    mut change: UserChange,
    selects: impl Fn(&str, bool) -> bool,
) -> Result<u32, MutationError> {
    let actor = change.authorized.actor().clone();
    let current = match actor.credential() {
        Some(Credential::Session(digest)) => Some(*digest),
        _ => None,
    };
    let selects = |digest| selects(&TokenDigest::prefix(&digest), current == Some(digest));
    let (record, now) = (&change.record, change.now);
    let mut revoked = 0;
    if record
        .session
        .is_some_and(|session| selects(session.digest))
    {
        let is_live = revoke_shared_session(&mut change.transaction, record, &actor, now).await?;
        revoked += u32::from(is_live);
    }
    for session in change.transaction.device_sessions(record.user.id).await? {
        if selects(session.digest) {
            let user = &record.user;
            let is_live =
                revoke_device_session(&mut change.transaction, user, &session, &actor, now).await?;
            revoked += u32::from(is_live);
        }
    }
    change.transaction.commit().await?;
    Ok(revoked)
}

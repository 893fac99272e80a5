//! Change the name and the e-mail address of an account.

use crate::error::Error;
use crate::model::audit_event::{AuditEventKind, EventDetail};
use crate::model::email::Email;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::model::validation::{FieldChange, FieldError, MutationError};
use crate::service::authorization::Caller;
use crate::service::throttle::Counted;
use crate::service::uniqueness::refuse_taken;
use crate::service::user_administration::{UserAdministration, target};
use crate::service::visible_user::VisibleUser;
use crate::store::ProfileChange;

/// The changes of a profile, as a client sends them.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) username: FieldChange<String>,
    /// `None` removes it.
    pub(crate) email: FieldChange<Option<String>>,
}

impl UserAdministration {
    /// Changes the name or the e-mail address of an account. The e-mail address, and the name of
    /// another, take the password: with them an account can be taken over.
    pub(crate) async fn update(
        &self,
        caller: Caller<'_>,
        id: Option<UserId>,
        profile: Profile,
    ) -> Result<VisibleUser, MutationError> {
        let (id, is_own) = target(caller, id).await?;
        let changes_email = profile.email != FieldChange::Keep;
        let changes_name = profile.username != FieldChange::Keep;
        let needed = if changes_email || (changes_name && !is_own) {
            Requirement::PASSWORD
        } else {
            Requirement::WRITE
        };
        let role = if is_own { Role::User } else { Role::Admin };
        let by = caller.authorize(&needed.with_role(role)).await?;
        let username = match &profile.username {
            FieldChange::Keep => Ok(FieldChange::Keep),
            FieldChange::Set(name) => Username::parse(name).map(FieldChange::Set),
        };
        let email = match &profile.email {
            FieldChange::Keep => Ok(FieldChange::Keep),
            FieldChange::Set(None) => Ok(FieldChange::Set(None)),
            FieldChange::Set(Some(email)) => Email::parse(email).map(Some).map(FieldChange::Set),
        };
        let (username, email) = match (username, email) {
            (Ok(username), Ok(email)) => (username, email),
            (username, email) => {
                let errors = [username.err(), email.err()];
                return Err(MutationError::Fields(
                    errors.into_iter().flatten().collect(),
                ));
            }
        };
        let change = ProfileChange { username, email };
        let counted = self.throttle.profile_change(by.actor()).await?;
        self.refuse_taken(&counted, &change, id).await?;
        let (transaction, account) = self.begin(&by, id).await?;
        if let FieldChange::Set(new) = &change.username {
            refuse_mixed_scripts(new, &account)?;
        }
        if !transaction.set_profile(id, &change).await? {
            drop(transaction);
            self.refuse_taken(&counted, &change, id).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        }
        let old = account.user.username;
        if let FieldChange::Set(new) = &change.username {
            self.throttle.rename(&transaction, &old, new).await?;
        }
        let detail = match change.username {
            FieldChange::Set(Username { display: new, .. }) if new != old => {
                EventDetail::Username { old, new }
            }
            _ => EventDetail::None,
        };
        self.finish_with(transaction, AuditEventKind::ProfileChanged, id, &by, detail)
            .await
    }

    async fn refuse_taken(
        &self,
        counted: &Counted,
        change: &ProfileChange,
        own: UserId,
    ) -> Result<(), MutationError> {
        let username = match &change.username {
            FieldChange::Set(username) => Some(username),
            FieldChange::Keep => None,
        };
        let email = match &change.email {
            FieldChange::Set(email) => email.as_ref(),
            FieldChange::Keep => None,
        };
        refuse_taken(&self.store, counted, username, email, Some(own)).await
    }
}

/// Refuses a new name that mixes scripts. Another spelling of the present name is not new.
fn refuse_mixed_scripts(new: &Username, account: &UserRecord) -> Result<(), FieldError> {
    let present = Username::parse(&account.user.username);
    if present.is_ok_and(|present| present.canonical == new.canonical) {
        return Ok(());
    }
    Username::parse_new(&new.display).map(drop)
}

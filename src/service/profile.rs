//! Change the name and the e-mail address of an account.

use crate::error::Error;
use crate::model::audit_event::{AuditEventKind, Detail};
use crate::model::email::Email;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::model::validation::{Change, FieldError, MutationError};
use crate::service::authorization::Caller;
use crate::service::throttle::Counted;
use crate::service::uniqueness::refuse_taken;
use crate::service::user_administration::{UserAdministration, target};
use crate::service::visible_user::VisibleUser;
use crate::store::ProfileChange;

/// The changes of a profile, as a client sends them.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) username: Change<String>,
    /// `None` removes it.
    pub(crate) email: Change<Option<String>>,
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
        let changes_email = profile.email != Change::Keep;
        let changes_name = profile.username != Change::Keep;
        let needed = if changes_email || (changes_name && !is_own) {
            Requirement::PASSWORD
        } else {
            Requirement::WRITE
        };
        let role = if is_own { Role::User } else { Role::Admin };
        let by = caller.authorize(&needed.by(role)).await?;
        let username = match &profile.username {
            Change::Keep => Ok(Change::Keep),
            Change::To(name) => Username::parse(name).map(Change::To),
        };
        let email = match &profile.email {
            Change::Keep => Ok(Change::Keep),
            Change::To(None) => Ok(Change::To(None)),
            Change::To(Some(email)) => Email::parse(email).map(Some).map(Change::To),
        };
        let (username, email) = match (username, email) {
            (Ok(username), Ok(email)) => (username, email),
            (username, email) => {
                let errors = [username.err(), email.err()];
                return Err(MutationError::Form(errors.into_iter().flatten().collect()));
            }
        };
        let change = ProfileChange { username, email };
        let counted = self.throttle.profile_change(by.actor()).await?;
        self.refuse_taken(&counted, &change, id).await?;
        let (transaction, account) = self.begin(&by, id).await?;
        if let Change::To(new) = &change.username {
            refuse_mixed_scripts(new, &account)?;
        }
        if !transaction.set_profile(id, &change).await? {
            drop(transaction);
            self.refuse_taken(&counted, &change, id).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        }
        let old = account.user.username;
        if let Change::To(new) = &change.username {
            self.throttle.rename(&transaction, &old, new).await?;
        }
        let detail = match change.username {
            Change::To(Username { display: new, .. }) if new != old => {
                Detail::Username { old, new }
            }
            _ => Detail::None,
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
            Change::To(username) => Some(username),
            Change::Keep => None,
        };
        let email = match &change.email {
            Change::To(email) => email.as_ref(),
            Change::Keep => None,
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
    Username::choose(&new.display).map(drop)
}

//! Changes usernames and e-mail addresses.

use crate::error::Error;
use crate::model::audit_event::AuditEventDetail;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::email::Email;
use crate::model::field_change::FieldChange;
use crate::model::field_errors::{FieldError, MutationError};
use crate::model::requirement::Requirement;
use crate::model::user::{Role, UserId};
use crate::model::username::Username;
use crate::service::authorization::Caller;
use crate::service::throttle::Attempt;
use crate::service::uniqueness::refuse_taken;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;
use crate::store::ProfileChange;

/// The changes to a profile, as a client sent them.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) username: FieldChange<String>,
    /// `Set(None)` removes the e-mail address.
    pub(crate) email: FieldChange<Option<String>>,
}

impl Users {
    /// Changes the profile of the user `id`, or of the caller if `id` is `None`. Requires the password to
    /// change an e-mail address or the name of another user, because an attacker could use these changes to
    /// take over the user.
    pub(crate) async fn update(
        &self,
        caller: Caller<'_>,
        id: Option<UserId>,
        profile: Profile,
    ) -> Result<VisibleUser, MutationError> {
        let (id, is_own) = caller.target(id).await?;
        let changes_email = profile.email != FieldChange::Keep;
        let changes_name = profile.username != FieldChange::Keep;
        let requirement = if changes_email || (changes_name && !is_own) {
            Requirement::PASSWORD
        } else {
            Requirement::WRITE
        };
        let role = if is_own { Role::User } else { Role::Admin };
        let authorized = caller.authorize(&requirement.with_role(role)).await?;
        let profile = parse(profile)?;
        let attempt = self
            .throttle
            .count_change_without_hash(authorized.actor())
            .await?;
        self.refuse_taken_profile(&attempt, &profile, id).await?;
        let change = self.begin(authorized, id).await?;
        let old = change.record.user.username.clone();
        if let FieldChange::Set(new) = &profile.username {
            refuse_imitations(new, &old)?;
        }
        if !change.transaction.set_profile(id, &profile).await? {
            drop(change);
            self.refuse_taken_profile(&attempt, &profile, id).await?;
            return Err(Error::internal("a value that was taken is free again").into());
        }
        if let FieldChange::Set(new) = &profile.username {
            self.throttle.rename(&change.transaction, &old, new).await?;
        }
        let detail = match profile.username {
            FieldChange::Set(Username { display: new, .. }) if new != old => {
                AuditEventDetail::Username { old, new }
            }
            _ => AuditEventDetail::None,
        };
        change.commit(AuditEventKind::ProfileChanged, detail).await
    }

    async fn refuse_taken_profile(
        &self,
        attempt: &Attempt,
        profile: &ProfileChange,
        own: UserId,
    ) -> Result<(), MutationError> {
        let username = match &profile.username {
            FieldChange::Set(username) => Some(username),
            FieldChange::Keep => None,
        };
        let email = match &profile.email {
            FieldChange::Set(email) => email.as_ref(),
            FieldChange::Keep => None,
        };
        refuse_taken(&self.store, attempt, username, email, Some(own)).await
    }
}

/// Parses the changes. The error lists all invalid values.
fn parse(profile: Profile) -> Result<ProfileChange, MutationError> {
    let username = match profile.username {
        FieldChange::Keep => Ok(FieldChange::Keep),
        FieldChange::Set(name) => Username::parse(&name).map(FieldChange::Set),
    };
    let email = match profile.email {
        FieldChange::Keep => Ok(FieldChange::Keep),
        FieldChange::Set(email) => Email::parse_optional(email.as_deref()).map(FieldChange::Set),
    };
    match (username, email) {
        (Ok(username), Ok(email)) => Ok(ProfileChange { username, email }),
        (username, email) => Err([username.err(), email.err()].into()),
    }
}

/// Refuses a name that a new user cannot have. If the old name is such a name, another spelling of it is allowed.
fn refuse_imitations(new: &Username, old: &str) -> Result<(), FieldError> {
    let is_respelled = Username::parse(old).is_ok_and(|old| old.canonical == new.canonical);
    if is_respelled && Username::parse_new(old).is_err() {
        return Ok(());
    }
    Username::parse_new(&new.display).map(drop)
}

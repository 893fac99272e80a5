//! Creates one-time links: reset links for users who forgot the password, and invitations for new users.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::actor::Actor;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::email::Email;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::one_time_link::{LinkTarget, OneTimeLink};
use crate::model::one_time_token::{OneTimeToken, TokenPurpose};
use crate::model::password_hash::PasswordHash;
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user::{Role, User, UserId};
use crate::model::username::Username;
use crate::service::authorization::{Authorized, Caller};
use crate::service::hook_runner::HookRunner;
use crate::service::uniqueness::refuse_taken;
use crate::service::user_administration::ADMIN_PASSWORD;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;
use crate::store::{NewUser, Transaction};

/// The time for which the row of a used or expired token is kept. During this time, the token is reported as used or
/// expired. Afterwards, the token is reported as not valid.
const RETENTION: TimeDelta = TimeDelta::days(30);

/// The properties of an invited user.
///
/// ```
/// use symbolon::Invitation;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// config.public_url = Some("https://login.example.org".to_owned());
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// let invitation = Invitation {
///     username: "grace".to_owned(),
///     email: Some("grace@example.org".to_owned()),
///     role: None,
/// };
/// let (_, link) = operator.invite(&invitation).await?;
/// println!("To: grace@example.org\n\nChoose a password: {}", link.url());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The username: 1 to 64 characters.
    pub username: String,
    /// The e-mail address, if any. It is not verified.
    pub email: Option<String>,
    /// The role. `None` means [`Role::User`] for a new user, and the current role for a user who was invited before.
    pub role: Option<Role>,
}

impl Users {
    /// Creates a link with which the user `id` can replace a forgotten password. The last unused reset link of the user
    /// becomes invalid.
    pub(crate) async fn create_reset_link(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<(VisibleUser, OneTimeLink), MutationError> {
        let authorized = caller.authorize(&ADMIN_PASSWORD).await?;
        let target = self.link_target(TokenPurpose::Reset)?;
        let mut change = self.begin(authorized, id).await?;
        refuse_disabled(&change.record.user, "id")?;
        let link = issue(
            &mut change.transaction,
            &change.record.user,
            (TokenPurpose::Reset, target),
            change.authorized.actor(),
            self.clock.now(),
        );
        let link = link.await?;
        change.transaction.commit().await?;
        Ok((change.authorized.viewer().sees(change.record.user), link))
    }

    /// Creates a user without a password, and a link with which the user chooses the password. If the user exists and
    /// has never had a password, only creates a new link. The last unused link becomes invalid.
    pub(crate) async fn invite(
        &self,
        caller: Caller<'_>,
        invitation: &Invitation,
    ) -> Result<(VisibleUser, OneTimeLink), MutationError> {
        let authorized = caller.authorize(&ADMIN_PASSWORD).await?;
        let target = self.link_target(TokenPurpose::Invitation)?;
        let (username, email) = parse(invitation)?;
        let attempt = self
            .throttle
            .count_change_without_hash(authorized.actor())
            .await?;
        let invited = self.store.find_user_by_name(&username.canonical).await?;
        if let Some(record) = invited.filter(|record| !record.user.has_password) {
            let id = record.user.id;
            let role = invitation.role;
            return self.invite_again(authorized, id, email, role, target).await;
        }
        refuse_taken(&self.store, &attempt, Some(&username), email.as_ref(), None).await?;
        let now = self.clock.now();
        let row = NewUser {
            username,
            email,
            password_hash: PasswordHash::unusable(),
            role: invitation.role.unwrap_or(Role::User),
            created_at: now,
            disabled_at: None,
        };
        let (actor, no_hooks) = (authorized.actor(), HookRunner::none());
        let inserted = self.insert_user(row, actor.clone(), Some(&authorized), &attempt, &no_hooks);
        let (mut transaction, user) = inserted.await?;
        let purpose = (TokenPurpose::Invitation, target);
        let link = issue(&mut transaction, &user, purpose, actor, now).await?;
        transaction.commit().await?;
        Ok((authorized.viewer().sees(user), link))
    }

    /// Creates a new link for a user who has not used the last one. Refuses a role or an e-mail address that differs
    /// from that of the user, because an invitation does not change an existing user.
    async fn invite_again(
        &self,
        authorized: Authorized,
        id: UserId,
        email: Option<Email>,
        role: Option<Role>,
        target: LinkTarget<'_>,
    ) -> Result<(VisibleUser, OneTimeLink), MutationError> {
        let mut change = self.begin(authorized, id).await?;
        let user = &change.record.user;
        if user.has_password {
            // The user has used the last link in the meantime.
            let message = "This username is taken.";
            return Err(FieldError::new("username", FieldErrorCode::Taken, message).into());
        }
        refuse_disabled(user, "username")?;
        let refuse = |field, message| FieldError::new(field, FieldErrorCode::Invalid, message);
        if role.is_some_and(|role| role != user.role) {
            let message = "The user was invited with another role. Change the role of the user.";
            return Err(refuse("role", message).into());
        }
        let current = user.email.as_deref().map(Email::parse);
        let current = current.and_then(Result::ok).map(|email| email.canonical);
        if email.is_some_and(|email| Some(email.canonical) != current) {
            let message =
                "The user was invited with another e-mail address. Change the address of the user.";
            return Err(refuse("email", message).into());
        }
        let purpose = (TokenPurpose::Invitation, target);
        let (actor, now) = (change.authorized.actor(), self.clock.now());
        let link = issue(&mut change.transaction, user, purpose, actor, now).await?;
        change.transaction.commit().await?;
        Ok((change.authorized.viewer().sees(change.record.user), link))
    }

    fn link_target(&self, purpose: TokenPurpose) -> Result<LinkTarget<'_>, Error> {
        self.links.target(purpose).ok_or_else(|| {
            let message = match purpose {
                TokenPurpose::Reset => {
                    "The address of the page for new passwords is not known. Set SYMBOLON_PUBLIC_URL to the public \
                     URL of the server, or SYMBOLON_RESET_PAGE to the URL of your own page, for the server and \
                     for this command."
                }
                TokenPurpose::Invitation => {
                    "The address of the page for invitations is not known. Set SYMBOLON_PUBLIC_URL to the public URL \
                     of the server, for the server and for this command."
                }
            };
            Error::BadUserInput(message.to_owned())
        })
    }

    /// Deletes the rows of tokens that were used or expired more than 30 days ago.
    pub(super) async fn purge_one_time_tokens(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let end = now - RETENTION;
        transaction.delete_outdated_one_time_tokens(end).await
    }
}

/// Issues a token to a user, and deletes the last unused token with the same purpose. `transaction` must have locked the
/// row of the user.
async fn issue(
    transaction: &mut Transaction,
    user: &User,
    (purpose, target): (TokenPurpose, LinkTarget<'_>),
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<OneTimeLink, Error> {
    let secret = TokenSecret::random(SecretType::OneTimeToken)?;
    let digest = secret.digest();
    let link = target.link(secret, &user.username, now);
    let token = OneTimeToken {
        user: user.id,
        purpose,
        digest,
        created_at: now,
        expires_at: link.expires_at,
        used_at: None,
    };
    transaction
        .delete_unused_one_time_tokens(user.id, Some(purpose))
        .await?;
    transaction.insert_one_time_token(&token).await?;
    let kind = match purpose {
        TokenPurpose::Reset => AuditEventKind::ResetLinkCreated,
        TokenPurpose::Invitation => AuditEventKind::Invited,
    };
    let event = NewAuditEvent::new(kind, user.id, actor.clone(), now);
    transaction.record_event(event.with_token(digest, None));
    Ok(link)
}

fn refuse_disabled(user: &User, field: &'static str) -> Result<(), FieldError> {
    if user.is_disabled() {
        let message = "The user is disabled. Enable the user first.";
        return Err(FieldError::new(field, FieldErrorCode::Invalid, message));
    }
    Ok(())
}

/// Parses the properties. The error lists all invalid properties.
fn parse(invitation: &Invitation) -> Result<(Username, Option<Email>), MutationError> {
    let username = Username::parse_new(&invitation.username);
    let email = Email::parse_optional(invitation.email.as_deref());
    match (username, email) {
        (Ok(username), Ok(email)) => Ok((username, email)),
        (username, email) => Err([username.err(), email.err()].into()),
    }
}

//! Registers users.

use crate::error::{Error, Forbidden};
use crate::model::actor::Actor;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::email::Email;
use crate::model::field_errors::MutationError;
use crate::model::password::{Password, PasswordRules};
use crate::model::user::{Role, User};
use crate::model::username::Username;
use crate::service::authorization::{Authorized, Caller};
use crate::service::hook_runner::HookRunner;
use crate::service::throttle::{Admission, Attempt};
use crate::service::uniqueness::refuse_taken;
use crate::service::user_administration::ADMIN_WRITE;
use crate::service::users::Users;
use crate::service::visible_user::VisibleUser;
use crate::store::{NewUser, Transaction};

/// The properties of a new user.
///
/// ```
/// use symbolon::{Registration, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// let registration = Registration {
///     username: "ada".to_owned(),
///     email: Some("ada@example.org".to_owned()),
///     password: "correct horse".to_owned(),
/// };
/// let ada = operator.add_user(&registration, Role::User).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Registration {
    /// The username: 1 to 64 characters.
    pub username: String,
    /// The e-mail address, if any. A blank text counts as `None`. The address is not verified.
    pub email: Option<String>,
    /// The password: at most 128 characters. The minimum length is configurable, and is 8 by default.
    pub password: String,
}

impl Users {
    /// Registers a user. If registration is closed, the caller must be an admin or the operator.
    pub(crate) async fn register(
        &self,
        caller: Caller<'_>,
        registration: &Registration,
        role: Role,
    ) -> Result<VisibleUser, MutationError> {
        let no_hooks = HookRunner::none();
        self.register_with(caller, registration, role, &no_hooks)
            .await
    }

    /// Registers a user like [`Self::register`]. Also runs `hooks`, after the hooks of the instance.
    pub(crate) async fn register_with(
        &self,
        caller: Caller<'_>,
        registration: &Registration,
        role: Role,
        hooks: &HookRunner,
    ) -> Result<VisibleUser, MutationError> {
        let (actor, authorized) = match caller {
            Caller::Request(request) if self.registration_open => {
                (Actor::Anonymous(request.client().clone()), None)
            }
            Caller::Request(_) | Caller::Operator => {
                let authorized = caller.authorize(&ADMIN_WRITE).await;
                let authorized = authorized.map_err(|error| match error {
                    Error::Unauthenticated(_) | Error::Forbidden(Forbidden::RoleRequired) => {
                        Forbidden::RegistrationClosed.into()
                    }
                    other => other,
                })?;
                (authorized.actor().clone(), Some(authorized))
            }
        };
        let new = ParsedRegistration::parse(registration, self.rules)?;
        let Admission { attempt, mut slot } = self.throttle.admit_registration(&actor).await?;
        // The values are checked before the expensive hash is computed. The insertion checks the values
        // again.
        let (username, email) = (Some(&new.username), new.email.as_ref());
        refuse_taken(&self.store, &attempt, username, email, None).await?;
        caller.claim_new_hash()?;
        // The attempt is counted even if hashing fails, because the client has learned that the values are
        // free.
        let password_hash = slot.hash(new.password.clone()).await?;
        drop(slot);
        let row = NewUser {
            username: new.username,
            email: new.email,
            password_hash,
            role,
            created_at: self.clock.now(),
            disabled_at: None,
        };
        let inserted = self.insert_user(row, actor, authorized.as_ref(), &attempt, hooks);
        let (transaction, user) = inserted.await?;
        transaction.commit().await?;
        Ok(match authorized {
            Some(authorized) => authorized.viewer().sees(user),
            None => VisibleUser::whole(user),
        })
    }

    /// Inserts a user in a new transaction, after a second check of the authorization, if the operation requires one.
    /// Runs the hooks of the instance and `hooks`, and records the event. Fails if the username or the e-mail address is already in use.
    pub(super) async fn insert_user(
        &self,
        new: NewUser,
        actor: Actor,
        authorized: Option<&Authorized>,
        attempt: &Attempt,
        hooks: &HookRunner,
    ) -> Result<(Transaction, User), MutationError> {
        let mut transaction = self.store.begin().await?;
        if let Some(authorized) = authorized
            && let Some(acting) = authorized.user_id()
        {
            let record = transaction.lock_user(acting).await?;
            let now = self.clock.now();
            authorized
                .check_again(&transaction, record.as_ref(), now)
                .await?;
        }
        for hooks in [&self.hooks, hooks] {
            hooks.before_register(&transaction, &new).await?;
        }
        let Some(id) = transaction.insert_user(new.clone()).await? else {
            drop(transaction);
            let (username, email) = (Some(&new.username), new.email.as_ref());
            refuse_taken(&self.store, attempt, username, email, None).await?;
            return Err(Error::internal("a value that was taken is free again").into());
        };
        let user = User {
            id,
            username: new.username.display,
            email: new.email.map(|email| email.display),
            role: new.role,
            created_at: new.created_at,
            last_sign_in_at: None,
            disabled_at: None,
            has_password: new.password_hash.is_usable(),
        };
        for hooks in [&self.hooks, hooks] {
            hooks.after_register(&transaction, &user).await?;
        }
        let event = NewAuditEvent::new(AuditEventKind::Registered, id, actor, user.created_at);
        transaction.record_event(event);
        Ok((transaction, user))
    }
}

/// The valid properties of a new user.
struct ParsedRegistration {
    username: Username,
    email: Option<Email>,
    password: Password,
}

impl ParsedRegistration {
    /// Parses the properties. The error lists all invalid properties.
    fn parse(text: &Registration, rules: PasswordRules) -> Result<Self, MutationError> {
        let username = Username::parse_new(&text.username);
        let email = Email::parse_optional(text.email.as_deref());
        let canonical = username.as_ref().map_or("", |name| &name.canonical);
        let password = rules.parse_new(&text.password, canonical, "password");
        match (username, email, password) {
            (Ok(username), Ok(email), Ok(password)) => Ok(Self {
                username,
                email,
                password,
            }),
            (username, email, password) => {
                Err([username.err(), email.err(), password.err()].into())
            }
        }
    }
}

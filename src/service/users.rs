//! Register accounts and look them up.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Forbidden};
use crate::model::audit::{Actor, AuditEventKind, NewEvent};
use crate::model::form::Refused;
use crate::model::page::{Page, PageRequest};
use crate::model::password::Password;
use crate::model::scope::ACCOUNT_WRITE;
use crate::model::user::{Email, Role, User, UserId, Username};
use crate::service::authentication::Authentication;
use crate::service::taken::refuse_taken;
use crate::service::throttle::{Admitted, Counted, Throttle};
use crate::store::{NewAccount, Store};

/// What somebody typed to register.
#[derive(Clone)]
pub struct Registration {
    /// The name; 1 to 64 characters.
    pub username: String,
    /// Optional; not verified.
    pub email: Option<String>,
    /// The password in the clear; 8 to 128 characters.
    pub password: String,
}

/// The accounts.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    /// Whether anybody may register.
    pub(crate) open: bool,
}

impl Users {
    /// Registers an account for somebody, who has to be an admin where registration is closed.
    pub(crate) async fn register(
        &self,
        asking: &Authentication,
        registration: &Registration,
    ) -> Result<User, Refused> {
        let actor = if self.open {
            Actor::nobody(asking.origin())
        } else {
            let admin = asking.require_role(Role::Admin).await;
            admin.map_err(|error| match error {
                Error::Unauthenticated(_) | Error::Forbidden(_) => {
                    Forbidden::RegistrationClosed.into()
                }
                fault => fault,
            })?;
            asking.require_scope(ACCOUNT_WRITE).await?;
            asking.actor().await?
        };
        let checked = Checked::new(registration)?;
        let admitted = self.throttle.registration(actor.user, asking.origin());
        let admitted = admitted.await?;
        // Asked before the costly hash; the insertion asks again.
        self.refuse_taken(&admitted.counted, &checked).await?;
        asking.claim_new_hash()?;
        self.insert(&actor, checked, Role::User, admitted).await
    }

    /// Adds an account, as the operator may.
    pub(crate) async fn add(
        &self,
        registration: &Registration,
        role: Role,
    ) -> Result<User, Refused> {
        let checked = Checked::new(registration)?;
        let actor = Actor::default();
        let admitted = self.throttle.registration(actor.user, &actor.origin);
        let admitted = admitted.await?;
        self.refuse_taken(&admitted.counted, &checked).await?;
        self.insert(&actor, checked, role, admitted).await
    }

    async fn insert(
        &self,
        actor: &Actor,
        new: Checked,
        role: Role,
        admitted: Admitted,
    ) -> Result<User, Refused> {
        let Admitted { counted, mut slot } = admitted;
        // The attempt stays counted if this fails: its values were found not to be taken.
        let password_hash = slot.hash(new.password.clone()).await?;
        drop(slot);
        let now = self.clock.now();
        let account = NewAccount {
            username: new.username.clone(),
            email: new.email.clone(),
            password_hash,
            role,
            created_at: now,
        };
        let mut writing = self.store.write().await?;
        let Some(id) = writing.insert_user(account).await? else {
            drop(writing);
            self.refuse_taken(&counted, &new).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        };
        let event = NewEvent::new(AuditEventKind::Registered, id, actor.clone(), now);
        writing.record(event);
        writing.commit().await?;
        let account = self.store.account_by_id(id).await?;
        let gone = || Error::internal("an account was deleted while it was made");
        Ok(account.ok_or_else(gone)?.user)
    }

    async fn refuse_taken(&self, counted: &Counted, new: &Checked) -> Result<(), Refused> {
        let (username, email) = (Some(&new.username), new.email.as_ref());
        refuse_taken(&self.store, counted, username, email, None).await
    }

    pub(crate) async fn by_id(&self, id: UserId) -> Result<Option<User>, Error> {
        let account = self.store.account_by_id(id).await?;
        Ok(account.map(|account| account.user))
    }

    /// Whoever has this name, however it is spelt; a name that nobody can have is nobody's.
    pub(crate) async fn by_username(&self, username: &str) -> Result<Option<User>, Error> {
        let Ok(username) = Username::parse(username) else {
            return Ok(None);
        };
        let account = self.store.account_by_name(&username.canonical).await?;
        Ok(account.map(|account| account.user))
    }

    /// The page that is asked for, in the order of ids, which are the positions.
    pub(crate) async fn page(&self, asked_for: PageRequest) -> Result<Page<User>, Error> {
        let items = self.store.users(asked_for.with_one_more()).await?;
        let behind = match asked_for.behind() {
            Some(stretch) => self.store.users(stretch).await?,
            None => Vec::new(),
        };
        Ok(asked_for.page(items, &behind))
    }

    pub(crate) async fn count(&self) -> Result<u64, Error> {
        self.store.count_users().await
    }
}

/// A registration whose parts each make sense.
struct Checked {
    username: Username,
    email: Option<Email>,
    password: Password,
}

impl Checked {
    /// Says of all that is wrong.
    fn new(typed: &Registration) -> Result<Self, Refused> {
        let username = Username::parse(&typed.username);
        let email = typed.email.as_deref().map(Email::parse).transpose();
        let password = Password::choose(&typed.password, "password");
        match (username, email, password) {
            (Ok(username), Ok(email), Ok(password)) => Ok(Self {
                username,
                email,
                password,
            }),
            (username, email, password) => {
                let errors = [username.err(), email.err(), password.err()];
                Err(Refused::Form(errors.into_iter().flatten().collect()))
            }
        }
    }
}

//! Register accounts and look them up.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Forbidden};
use crate::model::audit_event::{Actor, AuditEventKind, NewEvent};
use crate::model::email::Email;
use crate::model::pagination::{Page, PageRequest};
use crate::model::password::{Password, PasswordRules};
use crate::model::requirement::Requirement;
use crate::model::user::{Role, User, UserId};
use crate::model::username::Username;
use crate::model::validation::MutationError;
use crate::service::authentication::Authentication;
use crate::service::authorization::{Authorized, Caller};
use crate::service::throttle::{Admitted, Counted, Throttle};
use crate::service::uniqueness::refuse_taken;
use crate::service::visible_user::VisibleUser;
use crate::store::{NewUser, Store};

/// What somebody typed to register.
#[derive(Clone)]
pub struct Registration {
    /// The name; 1 to 64 characters.
    pub username: String,
    /// Optional; not verified.
    pub email: Option<String>,
    /// The password in the clear; as many characters as are configured, 8 at least, to 128.
    pub password: String,
}

/// The accounts.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) rules: PasswordRules,
    /// Whether anybody may register.
    pub(crate) open: bool,
    /// The lowest role to which the accounts of others are visible.
    pub(crate) listed_for: Role,
}

impl Users {
    /// Registers an account. While registration is closed, the caller has to be an admin.
    pub(crate) async fn register(
        &self,
        asking: &Authentication,
        registration: &Registration,
    ) -> Result<VisibleUser, MutationError> {
        let admin = if self.open {
            None
        } else {
            let needed = Requirement::WRITE.with_role(Role::Admin);
            let admin = Caller::from(asking).authorize(&needed).await;
            Some(admin.map_err(|error| match error {
                Error::Unauthenticated(_) | Error::Forbidden(Forbidden::RoleRequired) => {
                    Forbidden::RegistrationClosed.into()
                }
                other => other,
            })?)
        };
        let checked = Checked::new(registration, self.rules)?;
        let actor = match &admin {
            Some(admin) => admin.actor().clone(),
            None => Actor::Anonymous(asking.client().clone()),
        };
        let admitted = self.throttle.registration(&actor).await?;
        // Asked before the costly hash; the insertion asks again.
        self.refuse_taken(&admitted.counted, &checked).await?;
        asking.claim_new_hash()?;
        let user = self.insert(actor, admin.as_ref(), checked, Role::User, admitted);
        let user = user.await?;
        Ok(match admin {
            Some(admin) => admin.viewer().sees(user),
            None => VisibleUser::whole(user),
        })
    }

    /// Adds an account, as the operator may.
    pub(crate) async fn add(
        &self,
        registration: &Registration,
        role: Role,
    ) -> Result<User, MutationError> {
        let checked = Checked::new(registration, self.rules)?;
        let admitted = self.throttle.registration(&Actor::Operator).await?;
        self.refuse_taken(&admitted.counted, &checked).await?;
        self.insert(Actor::Operator, None, checked, role, admitted)
            .await
    }

    /// Inserts an account. While registration is closed, the admin is checked again before that.
    async fn insert(
        &self,
        actor: Actor,
        admin: Option<&Authorized>,
        new: Checked,
        role: Role,
        admitted: Admitted,
    ) -> Result<User, MutationError> {
        let Admitted { counted, mut slot } = admitted;
        // The attempt stays counted if this fails: its values were found not to be taken.
        let password_hash = slot.hash(new.password.clone()).await?;
        drop(slot);
        let now = self.clock.now();
        let account = NewUser {
            username: new.username.clone(),
            email: new.email.clone(),
            password_hash,
            role,
            created_at: now,
        };
        let mut transaction = self.store.begin().await?;
        if let Some(admin) = admin
            && let Some(id) = admin.user_id()
        {
            admin.check_again(transaction.lock_user(id).await?.as_ref())?;
        }
        let Some(id) = transaction.insert_user(account).await? else {
            drop(transaction);
            self.refuse_taken(&counted, &new).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        };
        let event = NewEvent::new(AuditEventKind::Registered, id, actor, now);
        transaction.record_event(event);
        transaction.commit().await?;
        let account = self.store.find_user_by_id(id).await?;
        let gone = || Error::internal("an account was deleted while it was made");
        Ok(account.ok_or_else(gone)?.user)
    }

    async fn refuse_taken(&self, counted: &Counted, new: &Checked) -> Result<(), MutationError> {
        let (username, email) = (Some(&new.username), new.email.as_ref());
        refuse_taken(&self.store, counted, username, email, None).await
    }

    /// The account of the caller.
    pub(crate) async fn me(&self, asking: &Authentication) -> Result<VisibleUser, Error> {
        let identity = asking.require(&Requirement::token(&[])).await?;
        Ok(VisibleUser::seen_by(&identity, identity.shared_user()))
    }

    /// The account with this id or name. Other accounts than the caller's own are for those to whom the
    /// list is visible, and whether they exist is not shown to others.
    pub(crate) async fn find(
        &self,
        caller: Caller<'_>,
        key: UserKey<'_>,
    ) -> Result<Option<VisibleUser>, Error> {
        let viewer = caller.require(&Requirement::token(&[])).await?;
        let is_own = viewer.user().is_some_and(|own| key.is_of(own));
        let role = if is_own { Role::User } else { self.listed_for };
        let viewer = caller.require(&Requirement::READ.with_role(role)).await?;
        let account = match key {
            UserKey::Id(id) => self.store.find_user_by_id(id).await?,
            UserKey::Name(name) => match Username::parse(name) {
                Ok(name) => self.store.find_user_by_name(&name.canonical).await?,
                // No account can have this name.
                Err(_) => None,
            },
        };
        Ok(account.map(|account| viewer.sees(account.user)))
    }

    /// The page that is asked for, in the order of ids, which are the positions.
    pub(crate) async fn page(
        &self,
        caller: Caller<'_>,
        asked_for: PageRequest,
    ) -> Result<Page<VisibleUser>, Error> {
        let needed = Requirement::READ.with_role(self.listed_for);
        let viewer = caller.require(&needed).await?;
        let items = self.store.users(asked_for.with_one_more()).await?;
        let behind = match asked_for.behind() {
            Some(stretch) => self.store.users(stretch).await?,
            None => Vec::new(),
        };
        let Page {
            items,
            has_previous,
            has_next,
        } = asked_for.page(items, &behind);
        Ok(Page {
            items: items.into_iter().map(|user| viewer.sees(user)).collect(),
            has_previous,
            has_next,
        })
    }

    /// The number of accounts.
    pub(crate) async fn count(&self, caller: Caller<'_>) -> Result<u64, Error> {
        let needed = Requirement::READ.with_role(self.listed_for);
        caller.require(&needed).await?;
        self.store.count_users().await
    }
}

/// A look-up of one account.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UserKey<'a> {
    Id(UserId),
    /// The name in any spelling.
    Name(&'a str),
}

impl UserKey<'_> {
    fn is_of(&self, user: &User) -> bool {
        let canonical = |name| Username::parse(name).map(|name| name.canonical).ok();
        match self {
            Self::Id(id) => *id == user.id,
            Self::Name(name) => {
                canonical(name).is_some_and(|name| Some(name) == canonical(&user.username))
            }
        }
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
    fn new(typed: &Registration, rules: PasswordRules) -> Result<Self, MutationError> {
        let username = Username::parse_new(&typed.username);
        let email = typed.email.as_deref().map(Email::parse).transpose();
        let name = username.as_ref().map_or("", |name| &name.canonical);
        let password = rules.parse_new(&typed.password, name, "password");
        match (username, email, password) {
            (Ok(username), Ok(email), Ok(password)) => Ok(Self {
                username,
                email,
                password,
            }),
            (username, email, password) => {
                let errors = [username.err(), email.err(), password.err()];
                Err(MutationError::Fields(
                    errors.into_iter().flatten().collect(),
                ))
            }
        }
    }
}

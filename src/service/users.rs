//! Register accounts and look them up.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::error::{Error, Forbidden};
use crate::model::audit::{Actor, AuditEventKind, NewEvent};
use crate::model::confusable::skeleton;
use crate::model::form::{FieldError, Problem, Refused};
use crate::model::page::{Page, PageRequest};
use crate::model::password::{Password, PasswordRules};
use crate::model::scope::ACCOUNT_WRITE;
use crate::model::user::{Email, Role, User, UserId, Username};
use crate::service::authentication::Authentication;
use crate::service::passwords::Passwords;
use crate::store::{NewAccount, Store, TakenField};

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

/// Usernames that look alike.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SimilarUsernames {
    /// The number of accounts whose name looks like that of an older account.
    pub count: u64,
    /// The first 100 of them, each after the oldest account that has such a name.
    pub pairs: Vec<(User, User)>,
}

impl SimilarUsernames {
    const MOST_PAIRS: usize = 100;
}

/// The names that are read at once to be compared.
const NAMES_AT_ONCE: u64 = 1000;

/// The accounts.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) rules: PasswordRules,
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
        let checked = Checked::new(registration, self.rules)?;
        asking
            .services()
            .sign_in
            .throttle
            .registration(asking.origin())
            .await?;
        // Asked before the costly hash; the insertion asks again.
        self.refuse_taken(&checked).await?;
        asking.claim_new_hash()?;
        self.insert(&actor, checked, Role::User).await
    }

    /// Adds an account, as the operator may.
    pub(crate) async fn add(
        &self,
        registration: &Registration,
        role: Role,
    ) -> Result<User, Refused> {
        let checked = Checked::new(registration, self.rules)?;
        self.refuse_taken(&checked).await?;
        self.insert(&Actor::default(), checked, role).await
    }

    async fn insert(&self, actor: &Actor, new: Checked, role: Role) -> Result<User, Refused> {
        let password = new.password.clone();
        let password_hash = self.passwords.reserve()?.hash(password).await?;
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
            self.refuse_taken(&new).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        };
        let event = NewEvent::new(AuditEventKind::Registered, id, actor.clone(), now);
        writing.record(event);
        writing.commit().await?;
        let account = self.store.account_by_id(id).await?;
        let gone = || Error::internal("an account was deleted while it was made");
        Ok(account.ok_or_else(gone)?.user)
    }

    async fn refuse_taken(&self, new: &Checked) -> Result<(), Refused> {
        let (username, email) = (Some(&new.username), new.email.as_ref());
        refuse_taken(self.store.taken(username, email, None).await?)
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

    /// Compares all names with each other by their skeletons.
    pub(crate) async fn similar_usernames(&self) -> Result<SimilarUsernames, Error> {
        let mut similar = SimilarUsernames::default();
        // Digests, which take less memory than the skeletons.
        let mut first_of: HashMap<[u8; 32], UserId> = HashMap::new();
        let mut stretch = PageRequest {
            limit: NAMES_AT_ONCE,
            ..PageRequest::default()
        };
        loop {
            let users = self.store.users(stretch).await?;
            let Some(last) = users.last() else {
                return Ok(similar);
            };
            stretch.after = Some(last.id.0);
            for user in users {
                match first_of.entry(Sha256::digest(skeleton(&user.username)).into()) {
                    Entry::Vacant(none) => {
                        none.insert(user.id);
                    }
                    Entry::Occupied(first) => {
                        similar.count += 1;
                        if similar.pairs.len() < SimilarUsernames::MOST_PAIRS
                            && let Some(first) = self.by_id(*first.get()).await?
                        {
                            similar.pairs.push((first, user));
                        }
                    }
                }
            }
        }
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
    fn new(typed: &Registration, rules: PasswordRules) -> Result<Self, Refused> {
        let username = Username::choose(&typed.username);
        let email = typed.email.as_deref().map(Email::parse).transpose();
        let name = username.as_ref().map_or("", |name| &name.canonical);
        let password = rules.choose(&typed.password, name, "password");
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

/// Says which values other accounts have, if any.
pub(super) fn refuse_taken(taken: Vec<TakenField>) -> Result<(), Refused> {
    if taken.is_empty() {
        return Ok(());
    }
    Err(Refused::Form(
        taken.into_iter().map(FieldError::from).collect(),
    ))
}

impl From<TakenField> for FieldError {
    fn from(taken: TakenField) -> Self {
        match taken {
            TakenField::Username => {
                Self::new("username", Problem::Taken, "This username is taken.")
            }
            TakenField::Email => {
                Self::new("email", Problem::Taken, "This e-mail address is taken.")
            }
        }
    }
}

//! Register accounts and look them up.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::Error;
use crate::model::form::{FieldError, Problem};
use crate::model::password::Password;
use crate::model::user::{Email, PageRequest, User, UserId, Username};
use crate::service::authentication::Authentication;
use crate::service::passwords::Passwords;
use crate::store::{NewUser, Store, TakenField};

/// What somebody typed to register.
pub(crate) struct Registration {
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) password: String,
}

/// A page of accounts, in ascending order of their ids.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) users: Vec<User>,
    pub(crate) has_previous: bool,
    pub(crate) has_next: bool,
}

/// The accounts.
#[derive(Debug)]
pub(crate) struct Users {
    store: Arc<Store>,
    clock: Clock,
    passwords: Arc<Passwords>,
}

impl Users {
    pub(crate) fn new(store: Arc<Store>, clock: Clock, passwords: Arc<Passwords>) -> Self {
        Self {
            store,
            clock,
            passwords,
        }
    }

    /// Registers an account, or says what is wrong with each field.
    pub(crate) async fn register(
        &self,
        asking: &Authentication,
        registration: Registration,
    ) -> Result<Result<User, Vec<FieldError>>, Error> {
        let username = Username::parse(&registration.username);
        let email = registration.email.as_deref().map(Email::parse).transpose();
        let password = Password::choose(&registration.password, "password");
        let (username, email, password) = match (username, email, password) {
            (Ok(username), Ok(email), Ok(password)) => (username, email, password),
            (username, email, password) => {
                let errors = [username.err(), email.err(), password.err()];
                return Ok(Err(errors.into_iter().flatten().collect()));
            }
        };
        // Asked before the costly hash; the insertion asks again.
        let taken = self.store.taken(&username, email.as_ref()).await?;
        if !taken.is_empty() {
            return Ok(Err(taken.into_iter().map(FieldError::from).collect()));
        }
        asking.claim_new_hash()?;
        let new = NewUser {
            username,
            email,
            password_hash: self.passwords.reserve()?.hash(password).await?,
            created_at: self.clock.now(),
        };
        let inserted = self.store.insert_user(new).await?;
        Ok(inserted.map_err(|taken| taken.into_iter().map(FieldError::from).collect()))
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
        let account = self.store.account_by_username(&username).await?;
        Ok(account.map(|account| account.user))
    }

    /// The page that is asked for, and whether there are accounts on its two sides.
    pub(crate) async fn page(&self, asked_for: PageRequest) -> Result<Page, Error> {
        let PageRequest {
            after,
            before,
            backwards,
            limit,
        } = asked_for;
        let one_more = PageRequest {
            limit: limit + 1,
            ..asked_for
        };
        let mut users = self.store.users(one_more).await?;
        let more = users.len() as u64 > limit;
        if more {
            users.remove(if backwards { 0 } else { users.len() - 1 });
        }
        // On the side that the page was not read towards, the cursor's own account is the nearest.
        let behind = match (backwards, after, before) {
            (false, Some(after), _) => Some(PageRequest {
                before: Some(UserId(after.0.saturating_add(1))),
                limit: 1,
                ..PageRequest::default()
            }),
            (true, _, Some(before)) => Some(PageRequest {
                after: Some(UserId(before.0.saturating_sub(1))),
                limit: 1,
                ..PageRequest::default()
            }),
            _ => None,
        };
        let behind = match behind {
            Some(behind) => !self.store.users(behind).await?.is_empty(),
            None => false,
        };
        Ok(Page {
            users,
            has_previous: if backwards { more } else { behind },
            has_next: if backwards { behind } else { more },
        })
    }

    pub(crate) async fn count(&self) -> Result<u64, Error> {
        self.store.count_users().await
    }
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

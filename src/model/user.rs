//! Accounts and their names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use email_address::{EmailAddress, Options};
use precis_profiles::precis_core;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};

use crate::model::confusable::is_highly_restrictive;
use crate::model::form::{FieldError, Problem};
use crate::model::limits;
use crate::model::password::PasswordHash;
use crate::model::token::Session;

/// The number of an account. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub(crate) i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(itoa::Buffer::new().format(self.0))
    }
}

impl FromStr for UserId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A longer text is not a number of ours, and fails as an empty one does.
        let text = if text.len() > limits::ID { "" } else { text };
        text.parse().map(Self)
    }
}

/// What an account may do; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Whatever concerns the account itself.
    User,
    /// Whatever concerns any account.
    Admin,
}

impl Role {
    /// Its name in the API and in the audit trail, `ADMIN` for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// An account, without its secrets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// Its number.
    pub id: UserId,
    /// Its name, as its owner writes it.
    pub username: String,
    /// Its e-mail address, as its owner writes it. Not verified.
    pub email: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When its password was last accepted.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Since when it may not sign in; `None` while it may.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// An account with what it takes to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: PasswordHash,
    /// Counts the changes of the password.
    pub(crate) password_version: i64,
    pub(crate) session: Option<Session>,
}

/// A name that an account can have: 1 to 64 characters.
#[derive(Clone, Debug)]
pub(crate) struct Username {
    /// PRECIS `UsernameCasePreserved` (RFC 8265, section 3.4): as its owner writes it.
    pub(crate) display: String,
    /// PRECIS `UsernameCaseMapped` (RFC 8265, section 3.3): as names are compared.
    pub(crate) canonical: String,
}

/// The longest username.
const MAX_CHARACTERS: usize = 64;

const TOO_LONG: &str = "A username has at most 64 characters.";

impl Username {
    /// A name that is new to this server. It satisfies UTS #39 besides, so that it does not look like another
    /// one.
    pub(crate) fn choose(text: &str) -> Result<Self, FieldError> {
        let name = Self::parse(text)?;
        if !is_highly_restrictive(&name.display) {
            let message = "A username does not mix letters of several scripts, such as Latin and Cyrillic, \
                           and has none that identifiers should not have.";
            return Err(FieldError::new("username", Problem::Invalid, message));
        }
        Ok(name)
    }

    /// A name that an account may have already.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let refuse = |problem, message| Err(FieldError::new("username", problem, message));
        if text.is_empty() {
            return refuse(Problem::Blank, "Choose a username.");
        }
        if text.len() > limits::USERNAME {
            return refuse(Problem::TooLong, TOO_LONG);
        }
        let (Some(display), Some(canonical)) = (
            stable(text, UsernameCasePreserved::enforce),
            stable(text, UsernameCaseMapped::enforce),
        ) else {
            return refuse(
                Problem::Invalid,
                "A username has letters, digits and signs, without spaces and control characters.",
            );
        };
        // Basic credentials end the user-id at the first colon (RFC 7617, section 2).
        if canonical.contains(':') {
            return refuse(Problem::Invalid, "A username has no colon.");
        }
        if display.chars().count() > MAX_CHARACTERS {
            return refuse(Problem::TooLong, TOO_LONG);
        }
        Ok(Self { display, canonical })
    }
}

/// Applies `enforce` until its result no longer changes, as RFC 8264, section 7 asks for;
/// `None` where it is refused or never settles.
fn stable<'a>(
    text: &'a str,
    enforce: impl Fn(String) -> Result<Cow<'a, str>, precis_core::Error>,
) -> Option<String> {
    let mut text = enforce(text.to_owned()).ok()?.into_owned();
    for _ in 0..3 {
        let next = enforce(text.clone()).ok()?.into_owned();
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

/// An e-mail address that an account can have. Whether mail arrives there is not checked.
#[derive(Clone, Debug)]
pub(crate) struct Email {
    /// As its owner writes it.
    pub(crate) display: String,
    /// As addresses are compared: in lower case.
    pub(crate) canonical: String,
}

impl Email {
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal();
        if text.len() > limits::EMAIL || EmailAddress::parse_with_options(text, options).is_err() {
            let message = "This is not an e-mail address.";
            return Err(FieldError::new("email", Problem::Invalid, message));
        }
        Ok(Self {
            display: text.to_owned(),
            canonical: text.to_lowercase(),
        })
    }
}

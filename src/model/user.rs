//! A user of the API, and the roles that users have.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::model::text_limits;

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
        let text = if text.len() > text_limits::ID {
            ""
        } else {
            text
        };
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

impl User {
    /// Returns whether an administrator has disabled the user.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}

//! Users to import from another system.

use chrono::{DateTime, Utc};

use crate::model::email::Email;
use crate::model::password_hash::looks_like_hash;
use crate::model::user::Role;
use crate::model::username::Username;

/// A user to import from another system. [`ImportedUser::new`] sets the optional fields to their defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportedUser {
    /// The username. Unlike the username of a new user, an imported username can mix letters of several scripts.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The password, or its hash.
    pub password: ImportedPassword,
    /// The role.
    pub role: Role,
    /// Whether the user cannot sign in until an admin enables the user.
    pub is_disabled: bool,
    /// The time of the registration in the other system. `None` means the time of the import.
    pub created_at: Option<DateTime<Utc>>,
}

/// The password of an imported user, or the hash of the password.
#[derive(Clone)]
pub enum ImportedPassword {
    /// The password in plain text, which the import hashes. Weak passwords are accepted. A text that looks like a hash is
    /// refused.
    Plain(String),
    /// The hash of the password: an Argon2, scrypt, bcrypt, PBKDF2 or salted SHA hash in a format of Werkzeug, Django,
    /// Laravel or passlib. A weak hash is wrapped in Argon2id. When the user signs in, an Argon2id hash of the password
    /// replaces the imported hash.
    Hash(String),
    /// No password. The user sets a password with a reset link.
    Unset,
}

impl ImportedUser {
    /// Creates a user with the role [`Role::User`], who is not disabled.
    #[must_use]
    pub fn new(username: String, password: ImportedPassword) -> Self {
        Self {
            username,
            email: None,
            password,
            role: Role::User,
            is_disabled: false,
            created_at: None,
        }
    }

    /// Returns the username in the form in which usernames are compared, or `None` if the username is invalid.
    #[must_use]
    pub fn canonical_username(&self) -> Option<String> {
        Username::parse(&self.username)
            .ok()
            .map(|name| name.canonical)
    }

    /// Returns the e-mail address in the form in which addresses are compared, or `None` if the address is missing or
    /// invalid.
    #[must_use]
    pub fn canonical_email(&self) -> Option<String> {
        let email = Email::parse_optional(self.email.as_deref());
        email.ok().flatten().map(|email| email.canonical)
    }
}

/// The length of the random text after `!` by which Django marks users without a password.
const DJANGO_UNUSABLE: usize = 40;

impl ImportedPassword {
    /// Converts the text of a column for hashes. An empty text, and a text that begins with `!`, `*LK*`, `*NP*` or
    /// `*LOCKED*` or consists only of `*`, mark users without a password. White space around the text is ignored.
    #[must_use]
    pub fn from_hash(text: String) -> Self {
        if text.trim_start().starts_with('!') || is_marker(text.trim()) {
            Self::Unset
        } else {
            Self::Hash(text)
        }
    }

    /// Converts the text of a column for passwords, which may contain hashes. A text that looks like a hash, in a
    /// supported format or in another, is a hash. Users without a password are marked by an empty text, a text that
    /// consists only of `!` and `*`, or begins with `*LK*`, `*NP*` or `*LOCKED*`, `!` with 40 letters and digits, and `!`
    /// with a hash. White space around hashes and markers is ignored.
    #[must_use]
    pub fn from_password_or_hash(text: String) -> Self {
        let trimmed = text.trim();
        let is_locked = trimmed.strip_prefix('!').is_some_and(|rest| {
            let is_random = rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_random && rest.len() == DJANGO_UNUSABLE || looks_like_hash(rest)
        });
        if is_locked || is_marker(trimmed) {
            Self::Unset
        } else if looks_like_hash(trimmed) {
            Self::Hash(trimmed.to_owned())
        } else {
            Self::Plain(text)
        }
    }
}

/// Returns whether a text marks a user without a password. Solaris writes `*LK*` and `*NP*`, and OpenBSD `*`.
fn is_marker(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let starts = ["*LK*", "*NP*", "*LOCKED*"];
    text.chars().all(|c| "!*".contains(c)) || starts.iter().any(|start| upper.starts_with(start))
}

impl std::fmt::Debug for ImportedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedPassword(redacted)")
    }
}

/// The result of importing one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    /// The user was added.
    Added {
        /// Whether the hash of the password is weak, and is therefore wrapped in Argon2id.
        is_wrapped: bool,
    },
    /// A user with this username already exists. The existing user was not changed.
    Skipped,
    /// The user was not added, because the data is invalid or the e-mail address belongs to another user. Contains
    /// the reason.
    Refused(String),
}

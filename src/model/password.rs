//! Passwords as people type them, and hashes as the database keeps them.

use std::fmt;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use unicode_normalization::UnicodeNormalization;

use crate::model::common_passwords::is_common;
use crate::model::password_hash::{self, Argon2, HashParts};
use crate::model::text_limits;
use crate::model::validation::{FieldError, FieldErrorCode};

/// The longest password.
const MAX_CHARACTERS: usize = 128;

const TOO_LONG: &str = "A password has at most 128 characters.";

/// A password in the clear, prepared with the PRECIS profile `OpaqueString` (RFC 8265, section 4),
/// so that the same password typed on two keyboards is the same bytes.
#[derive(Clone)]
pub(crate) struct Password(String);

/// The rules for new passwords.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PasswordRules {
    /// The shortest, in characters.
    pub(crate) min_characters: usize,
}

impl PasswordRules {
    /// A password that is chosen for the account of this name: as long as the rules say and up to 128
    /// characters, not a common one, and one that does not contain the name.
    pub(crate) fn parse_new(
        self,
        text: &str,
        username: &str,
        field: &'static str,
    ) -> Result<Password, FieldError> {
        let refuse = |problem, message| Err(FieldError::new(field, problem, message));
        if text.is_empty() {
            return refuse(FieldErrorCode::Blank, "Choose a password.");
        }
        if text.len() > text_limits::PASSWORD {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        let Ok(prepared) = OpaqueString::enforce(text) else {
            return refuse(
                FieldErrorCode::Invalid,
                "A password has no control or unassigned characters.",
            );
        };
        let length = prepared.chars().count();
        if length < self.min_characters {
            let message = format!(
                "A password has at least {} characters.",
                self.min_characters
            );
            return Err(FieldError::new(field, FieldErrorCode::TooShort, message));
        }
        if length > MAX_CHARACTERS {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        if is_common(&prepared) {
            return refuse(
                FieldErrorCode::PasswordTooCommon,
                "This password is among the most common ones; choose another.",
            );
        }
        if contains_username(&prepared, username) {
            return refuse(
                FieldErrorCode::PasswordContainsUsername,
                "A password does not contain the username; choose another.",
            );
        }
        Ok(Password(prepared.into_owned()))
    }
}

/// Usernames of fewer characters occur in words by accident.
const MIN_CONTAINED: usize = 4;

/// Whether a password contains the username, in whatever case and width, or is a repetition of a short one.
fn contains_username(password: &str, username: &str) -> bool {
    let (password, username) = (folded(password), folded(username));
    if username.chars().count() < MIN_CONTAINED {
        return !username.is_empty() && password.replace(&username, "").is_empty();
    }
    password.contains(&username)
}

fn folded(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

impl Password {
    /// A password that somebody chose elsewhere, whatever it is worth.
    #[cfg(feature = "server")]
    pub(crate) fn parse_imported(text: &str) -> Result<Self, FieldError> {
        let refuse = |problem, message| Err(FieldError::new("password", problem, message));
        if text.len() > text_limits::PASSWORD {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        match OpaqueString::enforce(text) {
            Ok(prepared) if prepared.chars().count() <= MAX_CHARACTERS => {
                Ok(Self(prepared.into_owned()))
            }
            Ok(_) => refuse(FieldErrorCode::TooLong, TOO_LONG),
            Err(_) => refuse(
                FieldErrorCode::Invalid,
                "A password has no control or unassigned characters.",
            ),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// A password that somebody signs in with.
pub(crate) struct SubmittedPassword {
    pub(crate) password: Password,
    /// Other systems hash what they are sent.
    pub(crate) as_sent: String,
}

impl SubmittedPassword {
    /// What cannot be prepared stays as it is: it may still be right for an imported hash, and costs
    /// what any other password costs.
    pub(crate) fn new(text: &str) -> Self {
        let prepared = (text.len() <= text_limits::PASSWORD).then(|| OpaqueString::enforce(text));
        let prepared = prepared.and_then(Result::ok);
        let prepared = prepared.map_or_else(|| text.to_owned(), Into::into);
        Self {
            password: Password(prepared),
            as_sent: text.to_owned(),
        }
    }
}

impl fmt::Debug for SubmittedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubmittedPassword(redacted)")
    }
}

/// What stands before the hash of another system.
const IMPORTED: &str = "imported:";

/// The hash of a password, as the database keeps it: a PHC string, or `imported:` and the string
/// that another system made. That one is replaced when its owner signs in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(pub(crate) String);

impl PasswordHash {
    /// A hash of our own.
    pub(crate) fn new(argon2: Argon2, salt: &[u8], output: &[u8]) -> Self {
        Self(password_hash::phc(argon2, salt, output))
    }

    /// A hash that another system made; refused with a reason when nobody could sign in with it.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn parse_imported(text: &str, max_memory_kib: u32) -> Result<Self, &'static str> {
        HashParts::parse(text, max_memory_kib)?;
        Ok(Self(format!("{IMPORTED}{text}")))
    }

    /// The same of this system, which it is if it was made of the prepared password.
    pub(crate) fn into_own(self) -> Self {
        match self.0.strip_prefix(IMPORTED) {
            Some(own) => Self(own.to_owned()),
            None => self,
        }
    }

    /// Whether another system made it, of the password as it was sent.
    pub(crate) fn is_imported(&self) -> bool {
        self.0.starts_with(IMPORTED)
    }

    /// Fails with a reason when it is no hash, or asks for more than is computed.
    pub(crate) fn parts(&self, max_memory_kib: u32) -> Result<HashParts, &'static str> {
        let text = self.0.strip_prefix(IMPORTED).unwrap_or(&self.0);
        HashParts::parse(text, max_memory_kib)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_the_username_is_refused_in_any_spelling() {
        let rules = PasswordRules { min_characters: 8 };
        let problem = |password: &str, username: &str| {
            let refused = rules.parse_new(password, username, "password").err();
            refused.map(|error| error.code)
        };
        let contains = Some(FieldErrorCode::PasswordContainsUsername);
        assert_eq!(problem("grace-and-more", "grace"), contains);
        assert_eq!(problem("my name is GRACE", "grace"), contains);
        assert_eq!(problem("xxＧＲＡＣＥxx", "grace"), contains);
        assert_eq!(problem("Zoe\u{308}y and friends", "zoëy"), contains);
        assert_eq!(problem("the gracious one", "grace"), None);
        // Short names occur in words.
        assert_eq!(problem("an adaptation", "ada"), None);
        assert_eq!(problem("AdaadaADAada", "ada"), contains);
        assert_eq!(problem("correct horse", ""), None);
    }

    #[test]
    fn the_shortest_password_is_what_the_rules_say() {
        let rules = PasswordRules { min_characters: 15 };
        let refused = rules.parse_new("fourteen chars", "ada", "password");
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, FieldErrorCode::TooShort);
        assert_eq!(refused.message, "A password has at least 15 characters.");
        assert!(
            rules
                .parse_new("fifteen letters", "ada", "password")
                .is_ok()
        );
    }
}

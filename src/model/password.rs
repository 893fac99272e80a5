//! Passwords and the rules for new passwords.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::model::common_passwords::is_common;
use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::precis::{fold_case, is_printable, map_spaces};
use crate::model::text_limits;

/// The maximum number of characters.
const MAX_CHARACTERS: usize = 128;

const TOO_LONG: &str = "A password has at most 128 characters.";

/// A password in plain text, prepared with the PRECIS profile `OpaqueString` ([RFC 8265, section 4]), which additionally
/// accepts the invisible characters of emoji. The preparation makes the bytes of a password independent of the keyboard
/// and the operating system.
///
/// [RFC 8265, section 4]: https://www.rfc-editor.org/rfc/rfc8265#section-4
#[derive(Clone)]
pub(crate) struct Password(String);

/// The rules for new passwords.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PasswordRules {
    /// The minimum number of characters.
    pub(crate) min_characters: usize,
}

impl PasswordRules {
    /// Parses a new password for the user with the name `username`. Refuses a password that is too short or too long,
    /// is common, or contains the username.
    pub(crate) fn parse_new(
        self,
        text: &str,
        username: &str,
        field: &'static str,
    ) -> Result<Password, FieldError> {
        let refuse = |code, message| Err(FieldError::new(field, code, message));
        if text.is_empty() {
            return refuse(FieldErrorCode::Blank, "Choose a password.");
        }
        let password = Password::prepare(text, field)?;
        if password.0.chars().count() < self.min_characters {
            let message = format!(
                "A password has at least {} characters.",
                self.min_characters
            );
            return Err(FieldError::new(field, FieldErrorCode::TooShort, message));
        }
        if is_common(&password.0) {
            return refuse(
                FieldErrorCode::PasswordTooCommon,
                "This password is among the most common ones; choose another.",
            );
        }
        if contains_username(&password.0, username) {
            return refuse(
                FieldErrorCode::PasswordContainsUsername,
                "A password must not contain the username; choose another.",
            );
        }
        Ok(password)
    }
}

/// The minimum length, in characters, of a username that a password must not contain. Shorter usernames are often
/// parts of words.
const MIN_CONTAINED: usize = 4;

/// Returns whether a password contains the username. If the username is short, returns whether the password consists
/// only of repetitions of the username. Ignores case and width.
fn contains_username(password: &str, username: &str) -> bool {
    let (password, username) = (fold(password), fold(username));
    if username.chars().count() < MIN_CONTAINED {
        return !username.is_empty() && password.replace(&username, "").is_empty();
    }
    password.contains(&username)
}

fn fold(text: &str) -> String {
    fold_case(&text.nfkc().collect::<String>())
}

impl Password {
    /// Parses a password from another system. Accepts weak passwords.
    #[cfg(feature = "server")]
    pub(crate) fn parse_imported(text: &str) -> Result<Self, FieldError> {
        Self::prepare(text, "password")
    }

    fn prepare(text: &str, field: &'static str) -> Result<Self, FieldError> {
        let refuse = |code, message| Err(FieldError::new(field, code, message));
        if text.len() > text_limits::PASSWORD {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        match enforce_opaque_string(text) {
            Some(prepared) if prepared.chars().count() <= MAX_CHARACTERS => Ok(Self(prepared)),
            Some(_) => refuse(FieldErrorCode::TooLong, TOO_LONG),
            None => refuse(
                FieldErrorCode::Invalid,
                "A password must not contain control characters, invisible characters or unassigned \
                 characters.",
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

/// Returns the prepared form of a password, or `None` if the password is empty or contains an invalid character.
fn enforce_opaque_string(text: &str) -> Option<String> {
    let is_valid = !text.is_empty() && is_printable(text);
    is_valid.then(|| map_spaces(text).nfc().collect())
}

/// The password that a client submits at a sign-in.
pub(crate) struct SubmittedPassword {
    pub(crate) password: Password,
    /// The password as the client sent it. Other systems computed their hashes from unprepared passwords.
    pub(crate) as_sent: String,
}

impl SubmittedPassword {
    /// Prepares a password. A password that cannot be prepared is used unchanged, because the password may match
    /// an imported hash, and because its verification must take as long as that of any other password.
    pub(crate) fn new(text: &str) -> Self {
        let has_valid_length = text.len() <= text_limits::PASSWORD;
        let prepared = has_valid_length.then(|| enforce_opaque_string(text));
        let prepared = prepared.flatten().unwrap_or_else(|| text.to_owned());
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

//! Passwords as people type them, and hashes as the database keeps them.

use std::fmt;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

use crate::model::common_passwords::is_common;
use crate::model::form::{FieldError, Problem};

/// A password in the clear, prepared with the PRECIS profile `OpaqueString` (RFC 8265, section 4),
/// so that the same password typed on two keyboards is the same bytes.
#[derive(Clone)]
pub(crate) struct Password(String);

impl Password {
    /// A password that somebody chooses: 8 to 128 characters, and not a common one.
    pub(crate) fn choose(text: &str, field: &'static str) -> Result<Self, FieldError> {
        let refuse = |problem, message| Err(FieldError::new(field, problem, message));
        if text.is_empty() {
            return refuse(Problem::Blank, "Choose a password.");
        }
        let Ok(prepared) = OpaqueString::enforce(text) else {
            return refuse(
                Problem::Invalid,
                "A password has no control or unassigned characters.",
            );
        };
        match prepared.chars().count() {
            ..8 => refuse(Problem::TooShort, "A password has at least 8 characters."),
            8..=128 if is_common(&prepared) => refuse(
                Problem::PasswordTooCommon,
                "This password is among the most common ones; choose another.",
            ),
            8..=128 => Ok(Self(prepared.into_owned())),
            _ => refuse(Problem::TooLong, "A password has at most 128 characters."),
        }
    }

    /// A password that somebody signs in with. One that cannot be prepared matches no hash, and
    /// costs what any other wrong one costs.
    pub(crate) fn attempt(text: &str) -> Self {
        Self(OpaqueString::enforce(text).map_or_else(|_| text.to_owned(), Into::into))
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

/// The hash of a password, as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

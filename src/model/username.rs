//! Usernames ([RFC 8265](https://www.rfc-editor.org/rfc/rfc8265)) and their canonical form.

use std::borrow::Cow;

use precis_profiles::precis_core;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};

use crate::model::confusables::is_highly_restrictive;
use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::text_limits;

/// A username: 1 to 64 characters.
#[derive(Clone, Debug)]
pub(crate) struct Username {
    /// The name in the spelling that the user chose: PRECIS `UsernameCasePreserved` (section 3.4).
    pub(crate) display: String,
    /// The name in canonical form, for comparisons: PRECIS `UsernameCaseMapped` (section 3.3).
    pub(crate) canonical: String,
}

/// The maximum number of characters.
const MAX_CHARACTERS: usize = 64;

const TOO_LONG: &str = "A username has at most 64 characters.";

impl Username {
    /// Parses the name of a new user. The name must also satisfy UTS #39, which excludes most names that imitate
    /// others.
    pub(crate) fn parse_new(text: &str) -> Result<Self, FieldError> {
        let name = Self::parse(text)?;
        if !is_highly_restrictive(&name.display) {
            let message = "A username must not mix letters of several scripts, such as Latin and Cyrillic, or \
                           contain characters that Unicode does not recommend for identifiers.";
            return Err(FieldError::new(
                "username",
                FieldErrorCode::Invalid,
                message,
            ));
        }
        Ok(name)
    }

    /// Parses the name of an existing user.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let refuse = |code, message| Err(FieldError::new("username", code, message));
        if text.is_empty() {
            return refuse(FieldErrorCode::Blank, "Choose a username.");
        }
        if text.len() > text_limits::USERNAME {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        let (Some(display), Some(canonical)) = (
            enforce_until_stable(text, UsernameCasePreserved::enforce),
            enforce_until_stable(text, UsernameCaseMapped::enforce),
        ) else {
            return refuse(
                FieldErrorCode::Invalid,
                "A username consists of letters, digits and symbols, without spaces and control characters.",
            );
        };
        // In Basic credentials, the first colon ends the user-id (RFC 7617, section 2).
        if canonical.contains(':') {
            return refuse(
                FieldErrorCode::Invalid,
                "A username must not contain a colon.",
            );
        }
        if display.chars().count() > MAX_CHARACTERS {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        Ok(Self { display, canonical })
    }
}

/// Applies `enforce` until its result no longer changes, as RFC 8264, section 7, requires. Returns `None` if
/// `enforce` refuses the text, or if the result of the fourth application still differs from that of the third.
fn enforce_until_stable<'a>(
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

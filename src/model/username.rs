//! Usernames ([RFC 8265](https://www.rfc-editor.org/rfc/rfc8265)) and their canonical form.

use std::borrow::Cow;

use precis_profiles::precis_core;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};

use crate::model::confusables::is_highly_restrictive;
use crate::model::text_limits;
use crate::model::validation::{FieldError, FieldErrorCode};

/// A username: 1 to 64 characters.
#[derive(Clone, Debug)]
pub(crate) struct Username {
    /// The name as the user writes it: PRECIS `UsernameCasePreserved` (section 3.4).
    pub(crate) display: String,
    /// The name for comparisons: PRECIS `UsernameCaseMapped` (section 3.3).
    pub(crate) canonical: String,
}

/// The maximum number of characters.
const MAX_CHARACTERS: usize = 64;

const TOO_LONG: &str = "A username has at most 64 characters.";

impl Username {
    /// Parses the name of a new user. It must also satisfy UTS #39, so that it does not look like another name.
    pub(crate) fn parse_new(text: &str) -> Result<Self, FieldError> {
        let name = Self::parse(text)?;
        if !is_highly_restrictive(&name.display) {
            let message = "A username does not mix letters of several scripts, such as Latin and Cyrillic, \
                           and has none that identifiers should not have.";
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
                "A username has letters, digits and signs, without spaces and control characters.",
            );
        };
        // The first colon ends the user-id of Basic credentials (RFC 7617, section 2).
        if canonical.contains(':') {
            return refuse(FieldErrorCode::Invalid, "A username has no colon.");
        }
        if display.chars().count() > MAX_CHARACTERS {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        Ok(Self { display, canonical })
    }
}

/// Applies `enforce` until its result no longer changes, as RFC 8264, section 7, requires. Returns `None` if the text
/// is refused or the result keeps changing.
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

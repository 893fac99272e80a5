//! Usernames (RFC 8265) and how they are compared.

use std::borrow::Cow;

use precis_profiles::precis_core;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};

use crate::model::confusables::is_highly_restrictive;
use crate::model::text_limits;
use crate::model::validation::{FieldError, FieldErrorCode};

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

    /// A name that an account may have already.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let refuse = |problem, message| Err(FieldError::new("username", problem, message));
        if text.is_empty() {
            return refuse(FieldErrorCode::Blank, "Choose a username.");
        }
        if text.len() > text_limits::USERNAME {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
        }
        let (Some(display), Some(canonical)) = (
            stable(text, UsernameCasePreserved::enforce),
            stable(text, UsernameCaseMapped::enforce),
        ) else {
            return refuse(
                FieldErrorCode::Invalid,
                "A username has letters, digits and signs, without spaces and control characters.",
            );
        };
        // Basic credentials end the user-id at the first colon (RFC 7617, section 2).
        if canonical.contains(':') {
            return refuse(FieldErrorCode::Invalid, "A username has no colon.");
        }
        if display.chars().count() > MAX_CHARACTERS {
            return refuse(FieldErrorCode::TooLong, TOO_LONG);
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

//! The names that users give to their access tokens and devices.

use unicode_normalization::UnicodeNormalization;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::precis::{enforce_until_stable, is_printable, map_spaces};
use crate::model::text_limits;

const BLANK: &str = "The name must not be empty.";

/// The maximum number of characters.
const MAX_CHARACTERS: usize = 64;

/// The label of an access token or a device: 1 to 64 characters, prepared with the PRECIS profile `Nickname` (RFC
/// 8266), which additionally accepts the invisible characters of emoji.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

impl Label {
    /// Returns the label of a session that the server names. A longer text is truncated.
    pub(crate) fn truncated(text: &str) -> Self {
        Self(text.chars().take(MAX_CHARACTERS).collect())
    }

    /// Parses the value of the input field `field`.
    pub(crate) fn parse(field: &'static str, text: &str) -> Result<Self, FieldError> {
        let refuse = |code, message| Err(FieldError::new(field, code, message));
        let too_long = || refuse(FieldErrorCode::TooLong, "A name has at most 64 characters.");
        if text.len() > text_limits::LABEL {
            return too_long();
        }
        if text.trim().is_empty() {
            return refuse(FieldErrorCode::Blank, BLANK);
        }
        match enforce_until_stable(text, enforce_nickname) {
            Some(name) if name.is_empty() => refuse(FieldErrorCode::Blank, BLANK),
            Some(name) if name.chars().count() <= MAX_CHARACTERS => Ok(Self(name)),
            Some(_) => too_long(),
            None => refuse(
                FieldErrorCode::Invalid,
                "A name must not contain control characters or invisible characters.",
            ),
        }
    }
}

/// Removes the spaces at both ends of a name, reduces other runs of spaces to one space, and normalizes the name.
/// Returns `None` if the name contains an invalid character.
fn enforce_nickname(text: &str) -> Option<String> {
    let spaced = is_printable(text).then(|| map_spaces(text).collect::<String>())?;
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    Some(words.join(" ").nfkc().collect())
}

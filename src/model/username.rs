//! Usernames ([RFC 8265](https://www.rfc-editor.org/rfc/rfc8265)) and their canonical form.

use unicode_normalization::UnicodeNormalization;

use crate::model::confusables::{has_visible_marks, is_acceptable};
use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::precis::{enforce_until_stable, fold_case, is_identifier, satisfies_bidi_rule};
use crate::model::text_limits;

/// A username: 1 to 64 characters.
#[derive(Clone, Debug)]
pub(crate) struct Username {
    /// The name in the spelling that the user chose: PRECIS `UsernameCasePreserved` (section 3.4).
    pub(crate) display: String,
    /// The name in canonical form, for comparisons: PRECIS `UsernameCaseMapped` (section 3.3), with [`fold_case`].
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
        let message = if !is_acceptable(&name.display) {
            "A username must not mix letters of several scripts, such as Latin and Cyrillic, or contain characters \
             that Unicode does not recommend for identifiers."
        } else if !has_visible_marks(&name.display) {
            "In a username, each accent must belong to a letter and be visible. A letter has at most 4 different \
             accents."
        } else {
            return Ok(name);
        };
        Err(FieldError::new(
            "username",
            FieldErrorCode::Invalid,
            message,
        ))
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
            enforce_until_stable(text, enforce_case_preserved),
            enforce_until_stable(text, enforce_case_mapped),
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

/// Prepares a name with the PRECIS profile `UsernameCasePreserved` (RFC 8265, section 3.4). The name is normalized before
/// its characters are checked, because the decomposed forms of some valid characters are invalid, such as the letters of
/// a Hangul syllable.
fn enforce_case_preserved(text: &str) -> Option<String> {
    let text: String = map_width(text).nfc().collect();
    (is_identifier(&text) && satisfies_bidi_rule(&text)).then_some(text)
}

/// Prepares a name with the PRECIS profile `UsernameCaseMapped` (RFC 8265, section 3.3), except that the two lower-case
/// forms of the letter sigma are equal.
fn enforce_case_mapped(text: &str) -> Option<String> {
    enforce_case_preserved(text).map(|text| fold_case(&text))
}

/// Maps fullwidth and halfwidth characters to their usual width (RFC 8265, section 3.2.1). Characters whose usual form is
/// no valid identifier need not be mapped.
fn map_width(text: &str) -> String {
    let mut mapped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\u{ff01}'..='\u{ff9f}') {
            mapped.extend(c.nfkc());
        } else {
            mapped.push(c);
        }
    }
    mapped
}

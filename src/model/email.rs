//! E-mail addresses and their canonical form.

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::precis::fold_case;
use crate::model::text_limits;

/// The e-mail address of a user. Symbolon does not check whether the user receives mail at this address.
#[derive(Clone, Debug)]
pub(crate) struct Email {
    /// The address in the spelling that the user entered, in the normalization form NFC.
    pub(crate) display: String,
    /// The address in the form for comparisons that ignore case: [`fold_case`].
    pub(crate) canonical: String,
}

impl Email {
    /// Parses an optional address. Forms send an empty text for a field without input. Therefore, a blank text counts as
    /// no address.
    pub(crate) fn parse_optional(text: Option<&str>) -> Result<Option<Self>, FieldError> {
        let text = text.filter(|text| !text.trim().is_empty());
        text.map(Self::parse).transpose()
    }

    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal();
        let invalid = || {
            let message = "This is not an e-mail address.";
            FieldError::new("email", FieldErrorCode::Invalid, message)
        };
        if text.len() > text_limits::EMAIL {
            return Err(invalid());
        }
        // Some operating systems send letters and their marks as separate characters.
        let display: String = text.nfc().collect();
        EmailAddress::parse_with_options(&display, options).map_err(|_| invalid())?;
        let canonical = fold_case(&display);
        Ok(Self { display, canonical })
    }
}

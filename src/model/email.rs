//! E-mail addresses and their canonical form.

use email_address::{EmailAddress, Options};

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::text_limits;

/// The e-mail address of a user. Symbolon does not check whether the user receives mail at this address.
#[derive(Clone, Debug)]
pub(crate) struct Email {
    /// The address in the spelling that the user entered.
    pub(crate) display: String,
    /// The address in lower case, for comparisons.
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
        if text.len() > text_limits::EMAIL
            || EmailAddress::parse_with_options(text, options).is_err()
        {
            let message = "This is not an e-mail address.";
            return Err(FieldError::new("email", FieldErrorCode::Invalid, message));
        }
        Ok(Self {
            display: text.to_owned(),
            canonical: text.to_lowercase(),
        })
    }
}

//! The names that users give to their access tokens and devices.

use precis_profiles::Nickname as NicknameProfile;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::text_limits;

/// The label of an access token or a device: 1 to 64 characters, prepared with the PRECIS profile `Nickname` (RFC 8266).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

impl Label {
    /// Parses the value of the input field `field`.
    pub(crate) fn parse(field: &'static str, text: &str) -> Result<Self, FieldError> {
        let refuse = |code, message| Err(FieldError::new(field, code, message));
        let too_long = || refuse(FieldErrorCode::TooLong, "A name has at most 64 characters.");
        if text.len() > text_limits::LABEL {
            return too_long();
        }
        if text.trim().is_empty() {
            return refuse(FieldErrorCode::Blank, "The name must not be empty.");
        }
        match NicknameProfile::enforce(text) {
            Ok(name) if name.chars().count() <= 64 => Ok(Self(name.into_owned())),
            Ok(_) => too_long(),
            Err(_) => refuse(
                FieldErrorCode::Invalid,
                "A name must not contain control characters or invisible characters.",
            ),
        }
    }
}

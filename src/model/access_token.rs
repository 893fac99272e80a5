//! Access tokens: named, long-lived tokens for devices, scripts and other services.

use chrono::{DateTime, Utc};
use precis_profiles::Nickname;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::scopes::Scopes;
use crate::model::text_limits;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The name of an access token: 1 to 64 characters, prepared with the PRECIS profile `Nickname` (RFC 8266).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenName(pub(crate) String);

impl TokenName {
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let refuse = |code, message| Err(FieldError::new("name", code, message));
        let too_long = || refuse(FieldErrorCode::TooLong, "A name has at most 64 characters.");
        if text.len() > text_limits::TOKEN_NAME {
            return too_long();
        }
        if text.trim().is_empty() {
            return refuse(FieldErrorCode::Blank, "Give the token a name.");
        }
        match Nickname::enforce(text) {
            Ok(name) if name.chars().count() <= 64 => Ok(Self(name.into_owned())),
            Ok(_) => too_long(),
            Err(_) => refuse(
                FieldErrorCode::Invalid,
                "A name must not contain control characters.",
            ),
        }
    }
}

/// The stored data of an access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) id: i64,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) digest: TokenDigest,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: DateTime<Utc>,
    /// `None` for a token that does not expire.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Accurate to the minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

impl AccessToken {
    pub(crate) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

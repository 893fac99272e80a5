//! Access tokens: named, long-lived tokens for devices, scripts and other services.

use std::fmt;

use chrono::{DateTime, Utc};
use precis_profiles::Nickname;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

use crate::error::Error;
use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::random_bytes::random_bytes;
use crate::model::scopes::Scopes;
use crate::model::text_limits;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

const PREFIX: &str = "sym_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARACTERS: usize = 32;
const CHECKSUM_CHARACTERS: usize = 6;

/// An access token in plain text: `sym_`, 32 random base62 characters, and the CRC-32 of the preceding text, encoded
/// as 6 base62 characters.
///
/// Secret scanners can recognize tokens by the pattern `sym_[0-9A-Za-z]{38}`. The checksum makes it possible to
/// refuse most mistyped tokens without a database query. The plain text is returned once, when the token is issued,
/// and is not stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccessTokenSecret(String);

impl AccessTokenSecret {
    pub(crate) fn random() -> Result<Self, Error> {
        let mut text = PREFIX.to_owned();
        while text.len() < PREFIX.len() + RANDOM_CHARACTERS {
            let bytes = random_bytes::<RANDOM_CHARACTERS>()?;
            // 248 is the largest multiple of 62 that fits into a byte. If larger bytes are skipped, all characters
            // are equally likely.
            let unbiased = bytes.iter().filter(|byte| **byte < 248);
            let characters = unbiased.map(|byte| char::from(BASE62[usize::from(byte % 62)]));
            text.extend(characters.take(PREFIX.len() + RANDOM_CHARACTERS - text.len()));
        }
        text += &checksum(&text);
        Ok(Self(text))
    }

    /// Returns whether a text has the prefix of an access token. The rest of the text may be malformed.
    pub(crate) fn has_prefix(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses a token. Returns `None` if the token is malformed or has a wrong checksum.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let is_base62 = body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if body.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS || !is_base62 {
            return None;
        }
        let (checked, expected) = text.split_at(PREFIX.len() + RANDOM_CHARACTERS);
        (checksum(checked) == expected).then(|| Self(text.to_owned()))
    }

    pub(crate) fn digest(&self) -> TokenDigest {
        TokenDigest::new(&self.0)
    }

    /// Returns the plain text, for the response that issues the token.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokenSecret(redacted)")
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_crc_32_in_base62() {
        // The expected checksum was computed with zlib's `crc32`.
        let text = format!("sym_{}", "0".repeat(32));
        assert_eq!(checksum(&text), "18DVzN");
    }

    proptest! {
        #[test]
        fn a_token_with_a_wrong_character_is_refused(at in 4_usize..42, other in "[0-9A-Za-z]") {
            let secret = AccessTokenSecret::random().unwrap();
            let mut text = secret.reveal().to_owned();
            text.replace_range(at..=at, &other);
            prop_assert_eq!(AccessTokenSecret::parse(&text).is_some(), text == secret.reveal());
        }
    }
}

//! Random tokens with a prefix that identifies their type.

use std::fmt;

use crate::error::Error;
use crate::model::random_bytes::random_bytes;
use crate::model::token_digest::TokenDigest;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARACTERS: usize = 32;
const CHECKSUM_CHARACTERS: usize = 6;

/// The type of a random token, which its prefix identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretType {
    AccessToken,
    DeviceSession,
    /// The token of a device session with which an admin acts as another user.
    Impersonation,
    OneTimeToken,
}

impl SecretType {
    /// Returns the prefix of all tokens of this type. No prefix is the beginning of another prefix.
    const fn prefix(self) -> &'static str {
        match self {
            Self::AccessToken => "sym_",
            Self::DeviceSession => "symd_",
            Self::Impersonation => "symi_",
            Self::OneTimeToken => "symo_",
        }
    }

    /// Returns whether a text has the prefix of this type. The rest of the text may be malformed.
    pub(crate) fn matches(self, text: &str) -> bool {
        text.starts_with(self.prefix())
    }
}

/// A random token in plain text: a prefix, 32 random base62 characters (190 bits), and the CRC-32 of the preceding
/// text, encoded as 6 base62 characters.
///
/// Secret scanners can recognize tokens by patterns such as `sym_[0-9A-Za-z]{38}`. The checksum makes it possible to
/// refuse most mistyped tokens without a database query. The plain text is returned once, when the token is issued,
/// and is not stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenSecret(String);

impl TokenSecret {
    pub(crate) fn random(kind: SecretType) -> Result<Self, Error> {
        let mut text = kind.prefix().to_owned();
        let end = text.len() + RANDOM_CHARACTERS;
        while text.len() < end {
            let bytes = random_bytes::<RANDOM_CHARACTERS>()?;
            // 248 is the largest multiple of 62 that fits into a byte. If bytes from 248 on are skipped, all characters
            // are equally likely.
            let unbiased = bytes.iter().filter(|byte| **byte < 248);
            let characters = unbiased.map(|byte| char::from(BASE62[usize::from(byte % 62)]));
            text.extend(characters.take(end - text.len()));
        }
        text += &checksum(&text);
        Ok(Self(text))
    }

    /// Parses a token. Returns `None` if the token is malformed, has a wrong checksum, or is not of this type.
    pub(crate) fn parse(kind: SecretType, text: &str) -> Option<Self> {
        let body = text.strip_prefix(kind.prefix())?;
        let is_base62 = body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if body.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS || !is_base62 {
            return None;
        }
        let (checked, expected) = text.split_at(text.len() - CHECKSUM_CHARACTERS);
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

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(redacted)")
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
            let secret = TokenSecret::random(SecretType::AccessToken).unwrap();
            let mut text = secret.reveal().to_owned();
            text.replace_range(at..=at, &other);
            let parsed = TokenSecret::parse(SecretType::AccessToken, &text);
            prop_assert_eq!(parsed.is_some(), text == secret.reveal());
        }
    }
}

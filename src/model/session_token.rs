//! Session tokens, and the secrets from which they are derived.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;

use crate::error::Error;
use crate::model::random_bytes::random_bytes;
use crate::model::request_credentials::BearerToken;
use crate::model::server_key::ServerKey;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// A session token in plain text: 32 characters of standard base64. The plain text is not stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionToken(String);

impl SessionToken {
    /// Derives the token of a user from the server key and the nonce of the session.
    pub(crate) fn derive(key: &ServerKey, user: UserId, nonce: &Nonce) -> Self {
        let mut mac = key.mac();
        mac.update(b"symbolon session v1");
        mac.update(&user.0.to_be_bytes());
        mac.update(&nonce.0);
        let bytes = mac.finalize().into_bytes();
        Self(STANDARD.encode(&bytes[..24]))
    }

    /// Parses a token. Returns `None` if the text is malformed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 24))
            .then(|| Self(text.to_owned()))
    }

    pub(crate) fn digest(&self) -> TokenDigest {
        TokenDigest::new(&self.0)
    }
}

impl From<SessionToken> for BearerToken {
    fn from(token: SessionToken) -> Self {
        Self(token.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// The random bytes from which a session token is derived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; 24]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

impl Nonce {
    pub(crate) fn random() -> Result<Self, Error> {
        random_bytes().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_the_hmac_of_its_parts() {
        // The expected token was computed with another implementation, as the HMAC-SHA-256 of the text, the id in
        // eight bytes, and the nonce, truncated to 24 bytes.
        let key = ServerKey([7; 32]);
        let token = SessionToken::derive(&key, UserId(1), &Nonce([9; 24]));
        assert_eq!(token.0, "HYTkVvJ0An8TfVVWO+MUJ8RA7S38ZaZx");
    }

    proptest! {
        #[test]
        fn tokens_differ_by_key_user_and_nonce(
            a: ([u8; 32], i64, [u8; 24]),
            b: ([u8; 32], i64, [u8; 24]),
        ) {
            let token = |(key, user, nonce)| {
                SessionToken::derive(&ServerKey(key), UserId(user), &Nonce(nonce))
            };
            prop_assert_eq!(a == b, token(a) == token(b));
        }

        #[test]
        fn only_32_characters_of_base64_are_accepted(text in "\\PC{0,40}") {
            let is_base64 = text.len() == 32
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
            prop_assert_eq!(SessionToken::parse(&text).is_some(), is_base64);
        }
    }
}

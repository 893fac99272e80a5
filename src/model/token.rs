//! The session token: plain, digest, and what it is derived from.

use std::fmt;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::user::{User, UserId};

/// A token with this much left, or less, is replaced at the next sign-in.
pub(crate) const REUSE_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// How long a new token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(TimeDelta);

impl Lifetime {
    /// The latest expiration that a token can have at `now`.
    pub(crate) fn latest_expiration(now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::seconds(Self::MAX.into()) + CLOCK_TOLERANCE
    }

    /// The shortest, in seconds.
    pub(crate) const MIN: u32 = 120;
    /// The longest, in seconds: 30 days.
    pub(crate) const MAX: u32 = 30 * 24 * 60 * 60;

    pub(crate) fn from_seconds(seconds: i64) -> Result<Self, Error> {
        if !(i64::from(Self::MIN)..=i64::from(Self::MAX)).contains(&seconds) {
            let (min, max) = (Self::MIN, Self::MAX);
            return Err(Error::BadUserInput(format!(
                "A token lives for {min} to {max} seconds."
            )));
        }
        Ok(Self(TimeDelta::seconds(seconds)))
    }

    pub(crate) fn duration(self) -> TimeDelta {
        self.0
    }
}

/// A session token in the clear: 32 characters of standard base64. It exists on its way to its
/// bearer and back, and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionToken(String);

impl SessionToken {
    /// The token of `user` for `nonce`: the same inputs give the same token.
    pub(crate) fn derive(key: &ServerKey, user: UserId, nonce: &Nonce) -> Self {
        let mut mac = key.mac();
        mac.update(b"symbolon session v1");
        mac.update(&user.0.to_be_bytes());
        mac.update(&nonce.0);
        let bytes = mac.finalize().into_bytes();
        Self(STANDARD.encode(&bytes[..24]))
    }

    /// `None` for whatever cannot be a session token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 24))
            .then(|| Self(text.to_owned()))
    }

    pub(crate) fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.0)
    }

    /// The characters; for the answer to whoever just proved to be its owner.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// SHA-256 of a token: what the database keeps and looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest(pub(crate) [u8; 32]);

impl TokenDigest {
    /// That of a token of either kind.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Its first 12 hexadecimal digits: enough to tell tokens apart, and of no use to find one.
    pub(crate) fn prefix(&self) -> String {
        self.0[..6].iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// 24 random bytes that make one session token differ from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; 24]);

impl Nonce {
    pub(crate) fn random() -> Result<Self, Error> {
        random().map(Self)
    }
}

/// The server's half of every session token.
#[derive(Clone)]
pub(crate) struct ServerKey([u8; 32]);

impl ServerKey {
    pub(crate) fn random() -> Result<Self, Error> {
        random().map(Self)
    }

    /// Standard base64 of 32 bytes, white space around it ignored; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// What [`ServerKey::parse`] reads; for the key file.
    pub(crate) fn reveal(&self) -> String {
        STANDARD.encode(self.0)
    }

    fn mac(&self) -> Hmac<Sha256> {
        // Any length is a valid HMAC key; a fixed one needs no fallible constructor.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(&self.0);
        Hmac::new(&block)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(redacted)")
    }
}

/// The session of an account, as its row has it: everything but the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) digest: TokenDigest,
    /// `None` once revoked.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl Session {
    /// Whether its token is honoured at `now`. An expiration beyond [`Lifetime::latest_expiration`] was
    /// written while a clock was wrong, and its token is not.
    pub(crate) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.nonce.is_some()
            && self.expires_at > now
            && self.expires_at <= Lifetime::latest_expiration(now)
    }

    /// The token, if it is to be handed out again at `now`: it is live, has more than 60 s left,
    /// and `key` is still the one that it was derived with.
    pub(crate) fn reusable(
        &self,
        key: &ServerKey,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Option<SessionToken> {
        if !self.is_live(now) || self.expires_at - now <= REUSE_MARGIN {
            return None;
        }
        let token = SessionToken::derive(key, user, self.nonce.as_ref()?);
        (token.digest() == self.digest).then_some(token)
    }
}

/// A token that is honoured, as the operator sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveToken {
    /// Its number, if it is an access token.
    pub id: Option<i64>,
    /// What its owner calls it, if it is an access token.
    pub name: Option<String>,
    /// Whose it is.
    pub user: User,
    /// The first 12 hexadecimal digits of the token's digest, as the audit trail has them.
    pub token: String,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_the_hmac_of_its_parts() {
        // Computed with another implementation: HMAC-SHA-256 over the text, the id as eight bytes, and
        // the nonce, cut to 24 bytes.
        let key = ServerKey([7; 32]);
        let token = SessionToken::derive(&key, UserId(1), &Nonce([9; 24]));
        assert_eq!(token.reveal(), "HYTkVvJ0An8TfVVWO+MUJ8RA7S38ZaZx");
    }

    proptest! {
        #[test]
        fn what_is_derived_can_be_parsed(key: [u8; 32], user: i64, nonce: [u8; 24]) {
            let token = SessionToken::derive(&ServerKey(key), UserId(user), &Nonce(nonce));
            prop_assert_eq!(SessionToken::parse(token.reveal()), Some(token));
        }

        #[test]
        fn another_key_user_or_nonce_is_another_token(
            a: ([u8; 32], i64, [u8; 24]),
            b: ([u8; 32], i64, [u8; 24]),
        ) {
            let token = |(key, user, nonce)| {
                SessionToken::derive(&ServerKey(key), UserId(user), &Nonce(nonce))
            };
            prop_assert_eq!(a == b, token(a) == token(b));
        }

        #[test]
        fn only_32_characters_of_base64_are_a_token(text in "\\PC{0,40}") {
            let is_base64 = text.len() == 32
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
            prop_assert_eq!(SessionToken::parse(&text).is_some(), is_base64);
        }

        #[test]
        fn a_key_is_read_as_it_was_written(bytes: [u8; 32]) {
            let key = ServerKey::parse(&ServerKey(bytes).reveal());
            prop_assert_eq!(key.map(|key| key.0), Some(bytes));
        }
    }
}

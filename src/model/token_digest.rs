//! The digest under which a token is stored.

use std::fmt::Write;

use sha2::{Digest, Sha256};

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
            // Transaction to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

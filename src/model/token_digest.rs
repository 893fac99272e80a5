//! Digests of tokens.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 digest by which the database identifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TokenDigest(pub(crate) [u8; 32]);

impl TokenDigest {
    /// Computes the digest of a token.
    pub(crate) fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Returns the first 12 hexadecimal digits, which distinguish tokens without revealing them.
    pub(crate) fn prefix(&self) -> String {
        self.0[..6].iter().fold(String::new(), |mut text, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

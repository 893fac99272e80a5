//! Password hashes as the database stores them.

use std::fmt;

use crate::model::hash_formats;
use crate::model::hash_parts::{Argon2, HashParts, HashRefusal, phc};
#[cfg(any(test, feature = "server"))]
use crate::model::{hash_parts::TOO_COSTLY, unsupported_hashes};

/// The stored form for a user who has no password.
const UNUSABLE: &str = "!";
/// The prefix of stored hashes that were imported from another system.
const IMPORTED: &str = "imported:";
/// The prefix of stored hashes that were imported from another system and wrapped in Argon2id.
const WRAPPED: &str = "wrapped:";

/// The hash of a password in one of the forms in which the database stores it:
///
/// - a PHC string
/// - `imported:` and a hash from another system
/// - `wrapped:`, a PHC string of the Argon2id hash of the output of a weak hash from another system, `:`, and the weak
///   hash, in which each character of the output is replaced by `A`
/// - `!` for a user who has no password
///
/// An imported or wrapped hash is replaced when the user signs in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(pub(crate) String);

/// The parts of a stored hash. If `inner` exists, `outer` is the hash of the output of `inner`.
pub(crate) struct StoredParts {
    pub(crate) inner: Option<HashParts>,
    pub(crate) outer: HashParts,
}

/// A hash from another system.
#[cfg(any(test, feature = "server"))]
#[derive(Clone, Debug)]
pub(crate) enum ImportedHash {
    /// A hash that can be stored.
    Strong(PasswordHash),
    /// A hash that must be wrapped before it is stored.
    Weak(WeakHash),
}

/// A hash that is too weak to be stored.
#[cfg(any(test, feature = "server"))]
#[derive(Clone)]
pub(crate) struct WeakHash {
    pub(crate) output: Vec<u8>,
    /// The hash without its output.
    parameters: String,
}

#[cfg(any(test, feature = "server"))]
impl ImportedHash {
    /// Parses a hash from another system. Returns the reason as an error if the hash is unusable.
    pub(crate) fn parse(text: &str, max_memory_kib: u32) -> Result<Self, HashRefusal> {
        let parts = hash_formats::parse(text, max_memory_kib)?;
        if parts.algorithm.exceeds_import_limit() {
            return Err(TOO_COSTLY);
        }
        Ok(if parts.algorithm.is_strong() {
            Self::Strong(PasswordHash(format!("{IMPORTED}{text}")))
        } else {
            Self::Weak(WeakHash {
                output: parts.output,
                parameters: hash_formats::blank_output(text, parts.algorithm),
            })
        })
    }
}

#[cfg(any(test, feature = "server"))]
impl fmt::Debug for WeakHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHash(redacted)")
    }
}

/// Returns whether a text looks like the hash of a password, in a supported format or in another.
#[cfg(any(test, feature = "server"))]
pub(crate) fn looks_like_hash(text: &str) -> bool {
    unsupported_hashes::looks_like_hash(text)
}

impl PasswordHash {
    /// Creates a hash that Symbolon has computed.
    pub(crate) fn new(argon2: Argon2, salt: &[u8], output: &[u8]) -> Self {
        Self(phc(argon2, salt, output))
    }

    /// Creates a hash from the Argon2id hash of the output of a weak hash.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn wrapped(weak: &WeakHash, argon2: Argon2, salt: &[u8], output: &[u8]) -> Self {
        let outer = phc(argon2, salt, output);
        Self(format!("{WRAPPED}{outer}:{}", weak.parameters))
    }

    /// Returns the hash of a user who has no password. No password matches it.
    pub(crate) fn unusable() -> Self {
        Self(UNUSABLE.to_owned())
    }

    /// Returns whether a password can match the hash.
    pub(crate) fn is_usable(&self) -> bool {
        self.0 != UNUSABLE
    }

    /// Removes the prefix of an imported hash that was computed from the prepared password.
    pub(crate) fn into_own(self) -> Self {
        match self.0.strip_prefix(IMPORTED) {
            Some(hash) => Self(hash.to_owned()),
            None => self,
        }
    }

    /// Returns whether the hash was imported from another system, which computed it from the unprepared password.
    pub(crate) fn is_imported(&self) -> bool {
        self.0.starts_with(IMPORTED) || self.0.starts_with(WRAPPED)
    }

    /// Parses the hash. Returns the reason as an error if the hash is malformed or exceeds the limits for memory and
    /// time.
    pub(crate) fn parts(&self, max_memory_kib: u32) -> Result<StoredParts, HashRefusal> {
        let parse = |text| hash_formats::parse(text, max_memory_kib);
        let wrapped = self.0.strip_prefix(WRAPPED);
        if let Some((outer, inner)) = wrapped.and_then(|wrapped| wrapped.split_once(':')) {
            return Ok(StoredParts {
                inner: Some(parse(inner)?),
                outer: parse(outer)?,
            });
        }
        let text = self.0.strip_prefix(IMPORTED).unwrap_or(&self.0);
        Ok(StoredParts {
            inner: None,
            outer: parse(text)?,
        })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

//! The list of common passwords, which are refused as new passwords because attackers try them first.
//!
//! `scripts/common-passwords` creates the list from leaked passwords. `common_passwords.md` names the source and the
//! license (MIT) of the list.

use sha2::{Digest, Sha256};

/// The first 5 bytes of the digests of 100,000 passwords, sorted. About one in 11 million other passwords has the
/// prefix of a common password and is therefore refused.
static DIGESTS: &[[u8; 5]] = include_bytes!("common_passwords.bin").as_chunks().0;

/// Returns whether a password is one of the 100,000 most common passwords of 8 or more characters. Ignores case.
pub(crate) fn is_common(prepared: &str) -> bool {
    let digest = Sha256::digest(prepared.to_lowercase());
    let prefix = digest.first_chunk();
    prefix.is_some_and(|prefix| DIGESTS.binary_search(prefix).is_ok())
}

//! The passwords that most people choose, and that guessing starts with.
//!
//! `scripts/common-passwords` makes the filter from a list of leaked passwords; where that comes from
//! and its licence (MIT) are told in `common_passwords.md`.

use sha2::{Digest, Sha256};

/// The first bytes of the digests of 100,000 passwords, sorted. With 5 of them, one in 11 million other
/// passwords is taken for a common one.
static DIGESTS: &[[u8; 5]] = include_bytes!("common_passwords.bin").as_chunks().0;

/// Whether a password is among the 100,000 most common ones of 8 characters or more, in upper or lower
/// case.
pub(crate) fn is_common(prepared: &str) -> bool {
    let digest = Sha256::digest(prepared.to_lowercase());
    let start = digest.first_chunk();
    start.is_some_and(|start| DIGESTS.binary_search(start).is_ok())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn no_random_password_is_taken_for_a_common_one() {
        // As random, and the same every time: that one of as many were taken has a chance of 1 in 110.
        let random = |n: u32| BASE64_STANDARD.encode(&Sha256::digest(n.to_be_bytes())[..9]);
        let taken = (0..100_000).map(random).filter(|text| is_common(text));
        assert_eq!(taken.collect::<Vec<_>>(), [""; 0]);
    }
}

//! Users who occur more than once in a source.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::row::Row;

/// The positions of the usernames and e-mail addresses that have been read. The keys are 64-bit hashes, which take less
/// memory than the texts. With a million users, the probability that two texts have the same hash is below 10⁻⁷.
#[derive(Default)]
pub(super) struct Duplicates {
    hasher: RandomState,
    usernames: HashMap<u64, i64>,
    emails: HashMap<u64, i64>,
}

impl Duplicates {
    /// Replaces the user in `row` by an error if an earlier row has the same username or e-mail address.
    pub(super) fn check(&mut self, mut row: Row, unit: &str) -> Row {
        let Ok(user) = &row.user else { return row };
        let position = row.position;
        let hasher = &self.hasher;
        let first = |positions: &mut HashMap<u64, i64>, text: Option<String>| {
            let first = positions.entry(hasher.hash_one(text?)).or_insert(position);
            Some(*first).filter(|first| *first != position)
        };
        let username = first(&mut self.usernames, user.canonical_username());
        let email = first(&mut self.emails, user.canonical_email());
        let refuse = |name: &str, first| Err(format!("{unit} {first} has the same {name}."));
        match (username, email) {
            (Some(first), _) => row.user = refuse("username", first),
            (None, Some(first)) => row.user = refuse("e-mail address", first),
            (None, None) => {}
        }
        row
    }
}

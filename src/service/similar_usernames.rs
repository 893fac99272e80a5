//! Find usernames that look alike.

use std::collections::hash_map::{Entry, HashMap};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::model::confusables::skeleton;
use crate::model::pagination::PageRequest;
use crate::model::user::{User, UserId};
use crate::service::users::Users;

/// Usernames that look alike.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SimilarUsernames {
    /// The number of accounts whose name looks like that of an older account.
    pub count: u64,
    /// The first 100 of them, each after the oldest account that has such a name.
    pub pairs: Vec<(User, User)>,
}

impl SimilarUsernames {
    const MOST_PAIRS: usize = 100;
}

/// The names that are read at once to be compared.
const NAMES_AT_ONCE: u64 = 1000;

impl Users {
    /// Compares all names with each other by their skeletons.
    pub(crate) async fn similar_usernames(&self) -> Result<SimilarUsernames, Error> {
        let mut similar = SimilarUsernames::default();
        // Digests, which take less memory than the skeletons.
        let mut first_of: HashMap<[u8; 32], UserId> = HashMap::new();
        let mut stretch = PageRequest {
            limit: NAMES_AT_ONCE,
            ..PageRequest::default()
        };
        loop {
            let users = self.store.users(stretch).await?;
            let Some(last) = users.last() else {
                return Ok(similar);
            };
            stretch.after = Some(last.id.0);
            for user in users {
                match first_of.entry(Sha256::digest(skeleton(&user.username)).into()) {
                    Entry::Vacant(none) => {
                        none.insert(user.id);
                    }
                    Entry::Occupied(first) => {
                        similar.count += 1;
                        if similar.pairs.len() < SimilarUsernames::MOST_PAIRS
                            && let Some(first) = self.store.find_user_by_id(*first.get()).await?
                        {
                            similar.pairs.push((first.user, user));
                        }
                    }
                }
            }
        }
    }
}

//! Finds usernames that look alike.

use std::collections::hash_map::{Entry, HashMap};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::model::confusables::skeleton;
use crate::model::pagination::PageRequest;
use crate::model::user::{User, UserId};
use crate::service::users::Users;

/// The usernames that look alike.
///
/// ```
/// use symbolon::SimilarUsernames;
///
/// fn report(similar: &SimilarUsernames) {
///     for (older, newer) in &similar.pairs {
///         println!("{} ({}) and {} ({})", older.username, older.id, newer.username, newer.id);
///     }
///     println!("{} usernames look like an older one.", similar.count);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// report(&operator.similar_usernames().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SimilarUsernames {
    /// The number of users whose names look like the name of an older user.
    pub count: u64,
    /// The first 100 of these users, each paired with the oldest user whose name is similar. In each pair, the
    /// oldest user comes first.
    pub pairs: Vec<(User, User)>,
}

impl SimilarUsernames {
    const MAX_PAIRS: usize = 100;
}

/// The number of users that one query reads.
const BATCH_SIZE: u64 = 1000;

impl Users {
    /// Finds the users whose names have equal skeletons.
    pub(crate) async fn similar_usernames(&self) -> Result<SimilarUsernames, Error> {
        let mut similar = SimilarUsernames::default();
        // The keys are digests of skeletons, because digests need less memory than skeletons.
        let mut first_of: HashMap<[u8; 32], UserId> = HashMap::new();
        let mut request = PageRequest {
            limit: BATCH_SIZE,
            ..PageRequest::default()
        };
        loop {
            let users = self.store.users(request).await?.items;
            let Some(last) = users.last() else {
                return Ok(similar);
            };
            request.after = Some(last.id.0);
            for user in users {
                match first_of.entry(Sha256::digest(skeleton(&user.username)).into()) {
                    Entry::Vacant(entry) => {
                        entry.insert(user.id);
                    }
                    Entry::Occupied(first) => {
                        similar.count += 1;
                        if similar.pairs.len() < SimilarUsernames::MAX_PAIRS
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

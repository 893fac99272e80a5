//! Verbs: what Symbolon does, one file for each. No protocol is named here.

pub(crate) mod authentication;
mod hash_pool;
pub(crate) mod passwords;
mod schemes;
pub(crate) mod server_key;
pub(crate) mod tokens;
pub(crate) mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::Error;
use crate::service::passwords::Passwords;
use crate::service::tokens::Tokens;
use crate::service::users::Users;
use crate::store::Store;

/// Everything Symbolon can do; what the doors hold.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) tokens: Tokens,
    pub(crate) users: Users,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) store: Arc<Store>,
}

/// Runs `work` in a task of its own, which goes on to its end even when the client hangs up or
/// `limit` is over. A panic in it is an internal error.
pub(crate) async fn to_its_end<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    match timeout(limit, tokio::spawn(work)).await {
        Ok(done) => done.map_err(Error::internal),
        Err(_) => Err(Error::TimedOut),
    }
}

impl Services {
    /// Succeeds while requests that need the database can be served.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.store.ping().await
    }
}

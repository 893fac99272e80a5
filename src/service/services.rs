//! The services of one instance.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use prometheus_client::registry::Registry;

use crate::error::Error;
use crate::model::event::Event;
use crate::service::access_tokens::AccessTokens;
use crate::service::audit_trail::AuditTrail;
use crate::service::authenticator::Authenticator;
#[cfg(feature = "server")]
use crate::service::import::Import;
use crate::service::refused_attempts::RefusedAttempts;
use crate::service::sessions::Sessions;
use crate::service::throttle::Throttle;
use crate::service::token_uses::TokenUses;
use crate::service::token_watch::TokenWatches;
use crate::service::users::Users;
use crate::store::{MissedEvents, PoolState, Store};

/// The services that the endpoints of one instance use.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) access_tokens: AccessTokens,
    pub(crate) refused_attempts: Arc<RefusedAttempts>,
    pub(crate) audit_trail: AuditTrail,
    pub(crate) authenticator: Arc<Authenticator>,
    #[cfg(feature = "server")]
    pub(crate) import: Import,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) store: Arc<Store>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) token_uses: Arc<TokenUses>,
    pub(crate) token_watches: Arc<TokenWatches>,
    pub(crate) users: Users,
}

impl Services {
    /// Writes to the database the throttled attempts and the uses of tokens that were collected in memory.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.refused_attempts.flush().await?;
        self.token_uses.flush().await
    }

    /// Deletes outdated audit events, rate-limit buckets, known addresses, access tokens, device sessions and one-time
    /// tokens. Shared sessions are not deleted.
    pub(crate) async fn purge(&self) -> Result<(), Error> {
        let now = self.authenticator.clock.now();
        let transaction = self.store.begin().await?;
        self.refused_attempts.purge(&transaction, now).await?;
        self.throttle.purge(&transaction, now).await?;
        self.access_tokens.purge(&transaction, now).await?;
        self.sessions
            .purge_device_sessions(&transaction, now)
            .await?;
        self.users.purge_one_time_tokens(&transaction, now).await?;
        transaction.commit().await
    }

    /// Calls [`Self::flush`], and closes the database, even if the flush fails.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let flushed = self.flush().await;
        let closed = self.store.close().await;
        flushed.and(closed)
    }

    /// Returns a stream of the events of this instance.
    pub(crate) fn events(&self) -> BoxStream<'static, Result<Event, MissedEvents>> {
        self.store.events()
    }

    /// Checks that the database is readable and writable.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.store.check().await
    }

    /// Returns the path of the SQLite file, or the URL of the PostgreSQL database without the password.
    pub(crate) fn database(&self) -> String {
        self.store.location().full_name()
    }

    /// Returns the time since the last received heartbeat was sent, or `None` if no heartbeat was received.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        self.store.heartbeat_age()
    }

    /// Returns `postgresql` or `sqlite`.
    pub(crate) fn database_kind(&self) -> &'static str {
        match self.store.location().file() {
            Some(_) => "sqlite",
            None => "postgresql",
        }
    }

    /// Returns whether the database answers and accepts writes, as far as is known without a query.
    pub(crate) fn is_database_available(&self) -> bool {
        self.store.is_available()
    }

    /// Returns whether cached identities can be used. With PostgreSQL, this requires that notifications arrive.
    pub(crate) fn permits_cache(&self) -> bool {
        self.store.permits_cache()
    }

    /// Returns the connections of each pool.
    pub(crate) fn pools(&self) -> [PoolState; 2] {
        self.store.pools()
    }

    /// Adds the metrics that services and the store count to a registry.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.authenticator.register_metrics(registry);
        self.throttle.metrics.register(registry);
        self.throttle.passwords.metrics().register(registry);
        self.store.register_metrics(registry);
    }

    /// Copies the SQLite database into a new file. Returns the number of users in the copy.
    pub(crate) async fn back_up(&self, file: &Path) -> io::Result<u64> {
        self.store.back_up(file).await.map_err(io::Error::other)
    }
}

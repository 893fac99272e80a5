//! The claim to a database that no other process uses.
//!
//! An SQLite database is locked. Servers of Symbolon hold no lock on a PostgreSQL database, because a lock of a session
//! would not work through a connection pooler. Instead, the copy listens to the heartbeats, which every process that has
//! opened the database sends several times per second, even through a pooler.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sea_orm::sqlx::query;
use sea_orm::{DbErr, RuntimeErr, SqlxError};
use tokio::time::{sleep, timeout};

use super::error::CopyError;
use crate::store::database_lock::DatabaseLock;
use crate::store::database_url::Location;
use crate::store::heartbeat::{CHANNEL, Heartbeat, INTERVAL};
use crate::store::open_error::OpenError;

/// The time for which the copy listens before it reads the database.
const LISTENING_TIME: Duration = INTERVAL.saturating_mul(5);

/// The time limit for a notification from the copy to itself.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A claim, which ends when it is dropped.
pub(super) enum Claim {
    File { _lock: DatabaseLock },
    Server(Box<Listener>),
}

impl Claim {
    /// Claims a database. Refuses a database that a process is using.
    pub(super) async fn acquire(location: &Location) -> Result<Self, CopyError> {
        match location {
            Location::File(path) => Ok(Self::File {
                _lock: DatabaseLock::exclusive(path)?,
            }),
            Location::Server(options) => {
                let mut listener = Listener::start(location, options).await?;
                sleep(LISTENING_TIME).await;
                if listener.hears_others().await? {
                    return Err(OpenError::InUse(location.full_name()).into());
                }
                Ok(Self::Server(Box::new(listener)))
            }
        }
    }

    /// Returns an error if a process has begun to use the database. The lock of an SQLite database prevents this.
    pub(super) async fn check(&mut self) -> Result<(), CopyError> {
        let Self::Server(listener) = self else {
            return Ok(());
        };
        if listener.hears_others().await? {
            return Err(CopyError::Started(listener.name.clone()));
        }
        Ok(())
    }
}

/// A connection that receives the notifications of a PostgreSQL database.
pub(super) struct Listener {
    name: String,
    listener: PgListener,
}

impl Listener {
    async fn start(location: &Location, options: &PgConnectOptions) -> Result<Self, CopyError> {
        let name = location.full_name();
        let failed = |error| CopyError::Open(OpenError::Server(location.clone(), error));
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone());
        let listener = PgListener::connect_with(&pool.await.map_err(failed)?).await;
        let mut listener = listener.map_err(failed)?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(Self { name, listener })
    }

    /// Returns whether another process has sent a notification since the last call. Notifications arrive in order, so all
    /// earlier notifications have arrived when the notification of this function arrives.
    async fn hears_others(&mut self) -> Result<bool, CopyError> {
        let own = Heartbeat::payload_of_copy(rand::random());
        let receive = async {
            let send = query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&own);
            send.execute(&mut self.listener).await?;
            let mut hears_others = false;
            loop {
                match self.listener.try_recv().await? {
                    Some(notification) if notification.payload() == own => return Ok(hears_others),
                    Some(_) => hears_others = true,
                    None => return Err(SqlxError::PoolClosed),
                }
            }
        };
        match timeout(DELIVERY_TIMEOUT, receive).await {
            Ok(received) => received.map_err(|error| {
                let error = DbErr::Conn(RuntimeErr::SqlxError(error.into()));
                CopyError::Connection(self.name.clone(), error)
            }),
            Err(_) => Err(CopyError::NoNotifications(self.name.clone())),
        }
    }
}

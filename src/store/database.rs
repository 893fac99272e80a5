//! The open database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use prometheus_client::registry::Registry;
use sea_orm::DatabaseConnection;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::DatabaseClock;
use crate::error::Error;
use crate::model::event::Event;
use crate::store::database_lock::DatabaseLock;
use crate::store::database_url::Location;
use crate::store::event_publisher::{EventPublisher, MissedEvents};
use crate::store::invalidation::Invalidation;
use crate::store::monitored_connection::{Monitor, MonitoredConnection};
use crate::store::pool_metrics::{DatabaseMetrics, PoolState, READERS, WRITERS};
use crate::store::sqlite::DatabaseFiles;

/// The maximum time to wait for the application when the database is closed.
const APPLICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// An open database: the connections that write, and the connections that only read.
///
/// SQLite has one connection that writes, so that transactions queue in this process instead of in SQLite's busy
/// handler. PostgreSQL has several connections that write. Because reads use other connections, they do not wait
/// while transactions wait for locks.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) writer: DatabaseConnection,
    /// The monitor of `writer` and of its transactions.
    pub(super) monitor: Monitor,
    pub(super) readers: MonitoredConnection<DatabaseConnection>,
    /// The connections for the tables of the application. They are separate, so that the application cannot occupy all
    /// connections.
    pub(super) application: DatabaseConnection,
    pub(super) location: Location,
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) publisher: Arc<EventPublisher>,
    pub(super) metrics: DatabaseMetrics,
    /// The files of the SQLite database. Contains no files for PostgreSQL.
    pub(super) files: DatabaseFiles,
    /// The tasks that receive the changes of other processes.
    pub(super) tasks: Mutex<JoinSet<()>>,
    /// The lock on the SQLite database, until the database is closed. `None` for PostgreSQL.
    pub(super) lock: Mutex<Option<DatabaseLock>>,
}

impl Store {
    /// Returns the location of the database.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the connections for the tables of the application.
    pub(crate) fn application_connection(&self) -> DatabaseConnection {
        self.application.clone()
    }

    /// Returns the clock of the PostgreSQL server, which all instances share. Returns `None` for SQLite.
    pub(crate) fn clock(&self) -> Option<&DatabaseClock> {
        let heartbeat = self.monitor.heartbeat.as_ref();
        heartbeat.map(|heartbeat| heartbeat.clock())
    }

    /// Returns the time since the last received heartbeat was sent. Returns `None` for SQLite, and if no heartbeat
    /// was received.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        self.monitor.heartbeat.as_ref()?.age()
    }

    /// Returns an error if a file of the SQLite database has been deleted or replaced since the database was opened.
    pub(crate) fn check_database_file(&self) -> Result<(), Error> {
        let replaced = self.files.find_replaced();
        if let Some(write_state) = &self.monitor.write_state {
            write_state.set_replaced(replaced);
        }
        match replaced {
            Some(_) => Err(Error::ServiceUnavailable { retry_after: 1 }),
            None => Ok(()),
        }
    }

    /// Returns whether the database answers and accepts writes, as far as is known without a query.
    pub(crate) fn is_available(&self) -> bool {
        let heartbeat = self.monitor.heartbeat.as_ref();
        let write_state = self.monitor.write_state.as_ref();
        heartbeat.is_none_or(|heartbeat| heartbeat.is_available())
            && !write_state.is_some_and(|write_state| write_state.is_failing())
            && self.check_database_file().is_ok()
    }

    /// Returns whether cached identities can be used, which PostgreSQL permits only while notifications arrive.
    pub(crate) fn permits_cache(&self) -> bool {
        let heartbeat = self.monitor.heartbeat.as_ref();
        heartbeat.is_none_or(|heartbeat| heartbeat.permits_cache())
    }

    /// Returns the connections of each pool.
    pub(crate) fn pools(&self) -> [PoolState; 2] {
        [
            self.readers.pool_state(READERS),
            PoolState::of(WRITERS, &self.writer),
        ]
    }

    /// Adds the metrics that are counted continuously to a registry.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        self.publisher.metrics.register(registry);
    }

    /// Logs and publishes an event that changes no row.
    pub(crate) fn publish_event(&self, event: Event) {
        self.publisher.publish(vec![event]);
    }

    /// Returns a stream of the events that are published from now on. The stream ends after the database is closed.
    pub(crate) fn events(&self) -> BoxStream<'static, Result<Event, MissedEvents>> {
        self.publisher.subscribe()
    }

    /// Stops the background tasks, and closes the connections after their current statements have ended. Waits for
    /// transactions of the application for at most [`APPLICATION_TIMEOUT`].
    pub(crate) async fn close(&self) -> Result<(), Error> {
        // From now on, the pool refuses to pass on connections.
        let closed = timeout(APPLICATION_TIMEOUT, self.application.close_by_ref()).await;
        if let Ok(closed) = closed {
            closed?;
        } else {
            tracing::warn!("a transaction of the application has not ended");
        }
        let tasks = self.tasks.lock();
        let mut tasks = std::mem::take(&mut *tasks.unwrap_or_else(PoisonError::into_inner));
        match self.invalidation.counter() {
            Some(counter) => counter.stop(),
            None => tasks.abort_all(),
        }
        while tasks.join_next().await.is_some() {}
        self.readers.close().await?;
        self.writer.close_by_ref().await?;
        self.publisher.close();
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.take();
        Ok(())
    }
}

//! Access to the database that notices what its errors mean: for the connection, which may not be used
//! again, and for the database, which may be unreachable or not writable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement,
};

use crate::store::errors::{breaks_connection, is_unwritable};
use crate::store::heartbeat::Heartbeat;

/// The moment of the last error after which the connections of a pool are not used again.
///
/// An error does not say which connection of the pool it came from, so all that were open then are
/// discarded. SQLite has one that writes.
#[derive(Debug)]
pub(super) struct Discard {
    began: Instant,
    /// In microseconds since `began`; 0 if there was none.
    last: AtomicU64,
}

impl Discard {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        })
    }

    /// Discards all connections that are open now.
    pub(super) fn open_connections(&self) {
        let micros = self.began.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        self.last.store(micros, Ordering::SeqCst);
    }

    /// Whether a connection that was opened this long ago is discarded.
    pub(super) fn applies_to(&self, age: Duration) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        last > 0 && Duration::from_micros(last) + age >= self.began.elapsed()
    }
}

/// Whether the database can be written, as far as is known. Logs each change once.
#[derive(Debug, Default)]
pub(super) struct WriteState {
    /// Transaction has failed.
    failing: AtomicBool,
    /// A file was deleted or replaced.
    lost: AtomicBool,
}

impl WriteState {
    /// Notes whether a file is lost.
    pub(super) fn set_lost(&self, file: Option<&Path>) {
        let was_lost = self.lost.swap(file.is_some(), Ordering::SeqCst);
        match file {
            Some(file) if !was_lost => tracing::error!(
                file = %file.display(),
                "the database cannot be written: its file was deleted or replaced; restart the server"
            ),
            None if was_lost => tracing::info!("the database can be written again"),
            _ => {}
        }
    }

    fn set_failing(&self, error: &DbErr) {
        if !self.failing.swap(true, Ordering::SeqCst) {
            tracing::error!(%error, "the database cannot be written: changes are refused until it can");
        }
    }

    fn set_working(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::SeqCst) {
            tracing::info!("the database can be written again");
        }
    }
}

/// What is known about the connections of a pool.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub(super) discard: Arc<Discard>,
    /// Only of connections that write.
    pub(super) writes: Option<Arc<WriteState>>,
    /// Only of a server.
    pub(super) heartbeat: Option<Arc<Heartbeat>>,
}

impl Monitor {
    /// Waits for the database, unless its server is unreachable, and notes what an error means.
    pub(super) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let result = match &self.heartbeat {
            Some(heartbeat) => heartbeat.fail_fast(work).await,
            None => work.await,
        };
        if let Err(error) = &result {
            if breaks_connection(error) {
                self.discard.open_connections();
            }
            match &self.writes {
                Some(writes) if is_unwritable(error) => writes.set_failing(error),
                None if is_unwritable(error) => {
                    tracing::warn!(%error, "the database cannot be read");
                }
                _ => {}
            }
        }
        result
    }
}

/// A connection, pool or transaction that is monitored.
#[derive(Debug)]
pub(super) struct Monitored<C> {
    connection: C,
    monitor: Monitor,
}

impl<C> Monitored<C> {
    pub(super) fn new(connection: C, monitor: Monitor) -> Self {
        Self {
            connection,
            monitor,
        }
    }
}

impl Monitored<DatabaseConnection> {
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.connection.close_by_ref().await
    }
}

impl Monitored<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        let commit = self.connection.commit();
        let committed = self.monitor.run(commit).await;
        match (&committed, &self.monitor.writes) {
            (Ok(()), Some(writes)) => writes.set_working(),
            // Whatever the error, the state of the transaction on this connection is unknown.
            (Err(_), _) => self.monitor.discard.open_connections(),
            _ => {}
        }
        committed
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Monitored<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let work = self.connection.execute_raw(statement);
        self.monitor.run(work).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let work = self.connection.execute_unprepared(sql);
        self.monitor.run(work).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let work = self.connection.query_one_raw(statement);
        self.monitor.run(work).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let work = self.connection.query_all_raw(statement);
        self.monitor.run(work).await
    }

    fn support_returning(&self) -> bool {
        self.connection.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

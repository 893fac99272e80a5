//! Connections whose errors are handled: a broken connection is evicted from its pool, and the log reports when
//! writes to the database fail and when they succeed again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement,
};

use crate::store::errors::{breaks_connection, cause, is_unwritable};
use crate::store::heartbeat::Heartbeat;
use crate::store::pool_eviction::PoolEviction;
use crate::store::pool_metrics::{PoolMetrics, PoolState};
use crate::store::postgres_connection::lacks_prepared_statement;

/// Whether writes to the database fail. Each change of this state is logged once.
#[derive(Debug, Default)]
pub(super) struct WriteState {
    is_failing: AtomicBool,
    is_file_replaced: AtomicBool,
}

impl WriteState {
    /// Returns whether the last write failed because the database cannot be written to.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Records whether a file of the database has been deleted or replaced.
    pub(super) fn set_replaced(&self, file: Option<&Path>) {
        let was_replaced = self.is_file_replaced.swap(file.is_some(), Ordering::SeqCst);
        match file {
            Some(file) if !was_replaced => tracing::error!(
                file = %file.display(),
                "the database cannot be written to: its file was deleted or replaced; restart the server"
            ),
            None if was_replaced => tracing::info!("the database can be written to again"),
            _ => {}
        }
    }

    fn set_failing(&self, error: &DbErr) {
        if !self.is_failing.swap(true, Ordering::SeqCst) {
            tracing::error!(
                %error,
                "the database cannot be written to: changes are refused until writes succeed again"
            );
        }
    }

    fn set_working(&self) {
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::SeqCst)
        {
            tracing::info!("the database can be written to again");
        }
    }
}

/// The state that the connections of a pool share.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub(super) eviction: Arc<PoolEviction>,
    /// `None` for connections that only read.
    pub(super) write_state: Option<Arc<WriteState>>,
    /// `None` for SQLite.
    pub(super) heartbeat: Option<Arc<Heartbeat>>,
    pub(super) metrics: PoolMetrics,
}

impl Monitor {
    /// Runs a statement if the server is available, and handles the error of the statement.
    pub(super) async fn run<T>(
        &self,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let result = match &self.heartbeat {
            Some(heartbeat) => heartbeat.fail_fast(statement).await,
            None => statement.await,
        };
        if let Err(error) = &result {
            self.metrics.count_error(error);
            if breaks_connection(error) {
                self.eviction.evict_all();
            }
            if let Some(heartbeat) = &self.heartbeat
                && cause(error).is_some_and(lacks_prepared_statement)
            {
                // The sender checks for transaction pooling when it opens a connection.
                heartbeat.replace_sender();
            }
            match &self.write_state {
                Some(write_state) if is_unwritable(error) => write_state.set_failing(error),
                None if is_unwritable(error) => {
                    tracing::warn!(%error, "the database cannot be read");
                }
                _ => {}
            }
        }
        result
    }

    /// Like [`Self::run`], for a statement that may have to wait for a connection.
    async fn run_on_connection<T>(
        &self,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        self.run(self.metrics.clone().measure_wait(statement)).await
    }
}

/// A connection, a pool or a transaction whose errors are handled.
#[derive(Debug)]
pub(super) struct MonitoredConnection<C> {
    connection: C,
    monitor: Monitor,
}

impl<C> MonitoredConnection<C> {
    pub(super) fn new(connection: C, monitor: Monitor) -> Self {
        Self {
            connection,
            monitor,
        }
    }
}

impl MonitoredConnection<DatabaseConnection> {
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.connection.close_by_ref().await
    }

    /// Returns the connections of the pool with this label value.
    pub(super) fn pool_state(&self, pool: &'static str) -> PoolState {
        PoolState::of(pool, &self.connection)
    }
}

impl MonitoredConnection<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        let commit = self.connection.commit();
        let committed = self.monitor.run(commit).await;
        match (&committed, &self.monitor.write_state) {
            (Ok(()), Some(write_state)) => write_state.set_working(),
            // After an error, the state of the transaction on the connection is unknown.
            (Err(_), _) => self.monitor.eviction.evict_all(),
            _ => {}
        }
        committed
    }
}

/// Makes each limit of an SQLite statement an expression. If a limit is a parameter, SQLite compiles the statement again
/// for each execution, to optimize the statement for the limit. For a page of 20 users, this took 15 % of the request.
fn hide_limits(mut statement: Statement) -> Statement {
    if statement.db_backend == DbBackend::Sqlite {
        statement.sql = statement.sql.replace(" LIMIT ?", " LIMIT ? + 0");
    }
    statement
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for MonitoredConnection<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.monitor
            .run_on_connection(self.connection.execute_raw(statement))
            .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.monitor
            .run_on_connection(self.connection.execute_unprepared(sql))
            .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.monitor
            .run_on_connection(self.connection.query_one_raw(hide_limits(statement)))
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.monitor
            .run_on_connection(self.connection.query_all_raw(hide_limits(statement)))
            .await
    }

    fn support_returning(&self) -> bool {
        self.connection.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

//! The access of hooks to an open transaction.

use std::sync::OnceLock;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::error::Error;
use crate::store::errors::unavailable;
use crate::store::monitored_connection::MonitoredConnection;

/// An open transaction, in which a hook reads and writes its own rows.
///
/// The transaction implements [`ConnectionTrait`], so that a hook can use entities and statements of
/// [`symbolon::sea_orm`](crate::sea_orm). Symbolon commits the transaction after the last hook. A hook must not execute
/// statements that end the transaction or change the connection, such as `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `SET`,
/// `PRAGMA` and `DEALLOCATE`, and must not change the tables of Symbolon.
///
/// Statements are prepared once for each connection. Name the columns instead of using `SELECT *`: PostgreSQL refuses a
/// prepared `SELECT *` after a column has been added to the table.
///
/// If a statement fails, the transaction is rolled back, even if the hook ignores the error. PostgreSQL cannot continue
/// a transaction after a failed statement, and neither can SQLite after some errors. To insert a row that may exist,
/// use `ON CONFLICT`.
#[derive(Debug)]
pub struct HookTransaction<'a> {
    connection: &'a MonitoredConnection<DatabaseTransaction>,
    /// The error of the first statement that failed.
    failure: OnceLock<Error>,
}

impl<'a> HookTransaction<'a> {
    pub(super) fn new(connection: &'a MonitoredConnection<DatabaseTransaction>) -> Self {
        Self {
            connection,
            failure: OnceLock::new(),
        }
    }

    /// Returns the error of the first statement that failed.
    pub(crate) fn into_failure(self) -> Option<Error> {
        self.failure.into_inner()
    }

    fn note<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &result {
            self.failure.get_or_init(|| {
                unavailable(error).unwrap_or_else(|| Error::internal(error.to_string()))
            });
        }
        result
    }
}

#[async_trait]
impl ConnectionTrait for HookTransaction<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.note(self.connection.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.note(self.connection.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note(self.connection.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note(self.connection.query_all_raw(statement).await)
    }

    fn support_returning(&self) -> bool {
        self.connection.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

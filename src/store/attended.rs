//! A connection whose statements are given up once the server is known to be away: a connection that
//! nothing comes through looks like a server that thinks.

use std::sync::Arc;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement,
};

use crate::store::pulse::Pulse;

/// A connection, and the pulse of the server; the embedded database has none.
#[derive(Debug)]
pub(super) struct Attended<C> {
    connection: C,
    pulse: Option<Arc<Pulse>>,
}

/// Does what needs the server, unless it is away or goes away.
pub(super) async fn attend<T>(
    pulse: Option<&Pulse>,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    match pulse {
        Some(pulse) => pulse.attend(work).await,
        None => work.await,
    }
}

impl<C> Attended<C> {
    pub(super) fn new(connection: C, pulse: Option<Arc<Pulse>>) -> Self {
        Self { connection, pulse }
    }

    fn attend<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> impl Future<Output = Result<T, DbErr>> {
        attend(self.pulse.as_deref(), work)
    }
}

impl Attended<DatabaseConnection> {
    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        self.attend(self.connection.ping()).await
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.connection.close_by_ref().await
    }
}

impl Attended<DatabaseTransaction> {
    /// What became of a commit that fails is not known.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        attend(self.pulse.as_deref(), self.connection.commit()).await
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Attended<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.attend(self.connection.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.attend(self.connection.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.attend(self.connection.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.attend(self.connection.query_all_raw(statement)).await
    }

    fn support_returning(&self) -> bool {
        self.connection.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

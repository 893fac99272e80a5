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
///
/// ```
/// use symbolon::sea_orm::{ConnectionTrait, Statement};
/// use symbolon::{HookError, HookTransaction, User};
///
/// /// Subscribes a user to the newsletter, unless the user is already subscribed.
/// async fn subscribe(transaction: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
///     let insert = Statement::from_sql_and_values(
///         transaction.get_database_backend(),
///         "INSERT INTO subscription (user_id) VALUES ($1) ON CONFLICT DO NOTHING",
///         [i64::from(user.id).into()],
///     );
///     transaction.execute_raw(insert).await?;
///     Ok(())
/// }
/// # struct AppHooks;
/// # #[symbolon::async_trait]
/// # impl symbolon::Hooks for AppHooks {
/// #     async fn after_register(&self, transaction: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
/// #         subscribe(transaction, user).await?;
/// #         subscribe(transaction, user).await
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::builder(config).hooks(AppHooks).open().await?;
/// # let operator = symbolon.operator();
/// # let database = symbolon::sea_orm::Database::connect(format!("sqlite://{}/app.db", folder.path().display())).await?;
/// # database.execute_unprepared("CREATE TABLE profile (user_id INTEGER PRIMARY KEY, name TEXT)").await?;
/// # database.execute_unprepared("CREATE TABLE subscription (user_id INTEGER PRIMARY KEY)").await?;
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
/// # Ok(())
/// # }
/// ```
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

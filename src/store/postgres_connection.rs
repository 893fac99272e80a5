//! Connections to a PostgreSQL server, with the settings of a session that Symbolon requires.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::SqlxError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::{ConnectOptions, Connection, Executor, Row, raw_sql};

/// The time limit for finding the schema, and for the first heartbeats, when a database is opened.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of checks for transaction pooling. Another client of the pooler can make a single check fail to find
/// transaction pooling.
const CHECKS: u32 = 3;

/// The query for the process of the server.
const PROCESS: &str = "SELECT pg_backend_pid()";

/// The statements that begin a transaction and return the process of the server.
const PROCESS_IN_TRANSACTION: &str = "BEGIN; SELECT pg_backend_pid()";

/// The options of a connection, and the settings of its session.
///
/// The settings are not startup parameters, because a connection pooler refuses or ignores startup parameters.
#[derive(Clone, Debug)]
pub(super) struct SessionOptions {
    pub(super) options: PgConnectOptions,
    settings: String,
}

impl SessionOptions {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let settings = String::new();
        Self { options, settings }
    }

    /// Adds a setting. The value is inserted into the statement `SET` without quotation marks.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        for part in ["SET ", name, " = ", value, ";"] {
            self.settings.push_str(part);
        }
        self
    }

    /// Opens a pool with one connection, which the pool does not replace while the connection works.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
    pub(super) async fn connect_pool(&self) -> Result<PgPool, SqlxError> {
        let session = Arc::new(self.clone());
        PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let session = Arc::clone(&session);
                Box::pin(async move { session.apply(connection).await })
            })
            .connect_with(self.options.clone())
            .await
    }

    /// Applies the settings to a new connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the server refuses a setting.
    pub(super) async fn apply(&self, connection: &mut PgConnection) -> Result<(), SqlxError> {
        let settings = sea_orm::sqlx::AssertSqlSafe(self.settings.clone());
        connection.execute(raw_sql(settings)).await.map(drop)
    }
}

/// Returns whether a connection pooler assigns its connections to transactions or statements instead of sessions.
/// Compares the processes of `first` and of a second connection. The second connection has no settings, because settings
/// would remain on the connections of the pooler.
///
/// # Errors
///
/// Returns an error if the second connection cannot be opened, or if a connection fails.
pub(super) async fn has_transaction_pooling(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, SqlxError> {
    let mut second = options.connect().await?;
    let mut is_pooled = false;
    for _ in 0..CHECKS {
        let before = process(first, PROCESS).await?;
        let other = match process(&mut second, PROCESS_IN_TRANSACTION).await {
            Err(error) if refuses_transactions(&error) => return Ok(true),
            other => other?,
        };
        // In a session, the first connection still occupies its process.
        is_pooled |= other == before;
        is_pooled = is_pooled || process(first, PROCESS).await? != before;
        second.execute(raw_sql("ROLLBACK")).await?;
    }
    second.close().await?;
    Ok(is_pooled)
}

/// Opens and closes as many connections at the same time as an instance requires at least: for the sender and the
/// receiver of heartbeats, for reading and for writing.
///
/// # Errors
///
/// Returns an error if a connection cannot be opened or fails.
pub(super) async fn open_minimum(options: &PgConnectOptions) -> Result<(), SqlxError> {
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut connection = options.connect().await?;
        // A pooler opens its own connection for the first statement.
        process(&mut connection, PROCESS).await?;
        connections.push(connection);
    }
    for connection in connections {
        connection.close().await?;
    }
    Ok(())
}

/// Returns the process of the server that executes statements of the connection. Uses no prepared statement, because
/// a pooler may not support prepared statements.
async fn process(connection: &mut PgConnection, sql: &'static str) -> Result<i32, SqlxError> {
    connection.fetch_one(raw_sql(sql)).await?.try_get(0)
}

/// Returns whether `PgBouncer` refuses transactions, because it assigns its connections to statements. `PgBouncer` reports
/// all its errors with the same SQLSTATE.
fn refuses_transactions(error: &SqlxError) -> bool {
    code(error).as_deref() == Some("08P01") && error.to_string().contains("statement pooling")
}

/// Returns whether the server does not know a prepared statement of the connection, or knows a statement of another
/// connection. The connection pooler does not use session pooling, or did not use it until now.
pub(super) fn lacks_prepared_statement(error: &SqlxError) -> bool {
    code(error).is_some_and(|code| ["26000", "42P05"].contains(&&*code))
}

/// Returns the SQLSTATE of an error.
pub(super) fn code(error: &SqlxError) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map(std::borrow::Cow::into_owned)
}

/// Returns whether the error shows that the server is unreachable.
pub(super) fn is_unreachable(error: &SqlxError) -> bool {
    match code(error) {
        // The server is shutting down, has crashed, or is starting up.
        Some(code) => code.starts_with("57P"),
        None => true,
    }
}

//! Connections to a PostgreSQL server, with the settings of a session that Symbolon requires.

use std::time::Duration;

use sea_orm::SqlxError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{ConnectOptions, Connection, Executor, Row, raw_sql};

/// The time limit for finding the schema, and for the first heartbeats, when a database is opened.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of checks for transaction pooling. Another client of the pooler can make a single check fail to find
/// transaction pooling.
const CHECKS: u32 = 3;

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

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection cannot be opened, or if the server refuses a setting.
    pub(super) async fn connect(&self) -> Result<PgConnection, SqlxError> {
        let mut connection = self.options.connect().await?;
        self.apply(&mut connection).await?;
        Ok(connection)
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
/// Opens two connections without settings, because settings would remain on the connections of the pooler.
///
/// # Errors
///
/// Returns an error if the connections cannot be opened or fail.
pub(super) async fn has_transaction_pooling(options: &PgConnectOptions) -> Result<bool, SqlxError> {
    let mut first = options.connect().await?;
    let mut second = options.connect().await?;
    let mut is_pooled = false;
    for _ in 0..CHECKS {
        let before = process(&mut first).await?;
        match second.execute(raw_sql("BEGIN")).await {
            // PgBouncer refuses transactions in statement mode with this code.
            Err(error) if code(&error).as_deref() == Some("08P01") => return Ok(true),
            began => began.map(drop)?,
        }
        // In a session, the first connection still occupies its process.
        is_pooled |= process(&mut second).await? == before;
        is_pooled = is_pooled || process(&mut first).await? != before;
        second.execute(raw_sql("ROLLBACK")).await?;
    }
    first.close().await?;
    second.close().await?;
    Ok(is_pooled)
}

/// Returns the process of the server that executes statements of the connection. Uses no prepared statement, because
/// a pooler may not support prepared statements.
async fn process(connection: &mut PgConnection) -> Result<i32, SqlxError> {
    let row = connection
        .fetch_one(raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
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

//! The PostgreSQL schema of the tables.

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, query_scalar};
use tokio::time::timeout;

use crate::store::database_url::Location;
use crate::store::open_error::OpenError;
use crate::store::postgres_connection::{START_TIMEOUT, has_transaction_pooling};

/// The query for the schemas in the search path that contain tables of Symbolon.
const SCHEMAS_WITH_TABLES: &str = "SELECT n.nspname::text FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = 'symbolon_migration' AND n.nspname = ANY (current_schemas(false))";

/// Returns the schema in which tables are created. All connections are restricted to this schema. Otherwise, the
/// tables could be created again in a schema that is created later and precedes this schema in the search path.
///
/// # Errors
///
/// Returns an error if the schema cannot be determined within [`START_TIMEOUT`], if the database cannot store all
/// characters, or if a connection pooler does not use session pooling.
pub(super) async fn find_schema(
    location: &Location,
    options: &PgConnectOptions,
) -> Result<String, OpenError> {
    let found = timeout(START_TIMEOUT, find_schema_without_limit(location, options)).await;
    let found =
        found.map_err(|_| OpenError::NoAnswer(location.clone(), START_TIMEOUT.as_secs()))?;
    found.map_err(OpenError::name_transaction_pooling)
}

async fn find_schema_without_limit(
    location: &Location,
    options: &PgConnectOptions,
) -> Result<String, OpenError> {
    let failed = |error| OpenError::Server(location.clone(), error);
    let mut connection = options.connect().await.map_err(failed)?;
    let is_pooled = has_transaction_pooling(&mut connection, options).await;
    if is_pooled.map_err(failed)? {
        return Err(OpenError::TransactionPooling(location.clone()));
    }
    let schemas = async {
        let current = query_scalar::<_, Option<String>>("SELECT current_schema()::text")
            .fetch_one(&mut connection)
            .await?;
        let with_tables = query_scalar::<_, String>(SCHEMAS_WITH_TABLES)
            .fetch_all(&mut connection)
            .await?;
        let encoding = query_scalar::<_, String>("SELECT current_setting('server_encoding')")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok((current, with_tables, encoding))
    };
    let schemas = schemas.await;
    let (current, with_tables, encoding) = schemas.map_err(failed)?;
    // A database with the encoding SQL_ASCII stores the bytes of UTF-8 unchanged.
    if !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
        return Err(OpenError::Encoding(location.clone(), encoding));
    }
    let current = current.ok_or_else(|| OpenError::NoSchema(location.clone()))?;
    match with_tables.into_iter().find(|schema| *schema != current) {
        Some(other) => Err(OpenError::OtherSchema(location.clone(), other, current)),
        None => Ok(current),
    }
}

/// Returns the name of a schema in the form in which SQL contains it.
pub(super) fn quote(schema: &str) -> String {
    format!("\"{}\"", schema.replace('"', "\"\""))
}

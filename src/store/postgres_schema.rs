//! Find the PostgreSQL schema of the tables.

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, query_as, query_scalar};

use crate::store::connect::OpenError;
use crate::store::database_url::Location;

/// The schema in which tables are created, to which all connections are pinned: another instance, or a
/// schema that is created later, must not lead to a second set of tables.
pub(super) async fn find_schema(
    location: &Location,
    options: &PgConnectOptions,
) -> Result<String, OpenError> {
    let connected = |error| OpenError::Server(location.clone(), error);
    let mut connection = options.connect().await.map_err(connected)?;
    let present = query_scalar::<_, Option<String>>("SELECT current_schema()::text")
        .fetch_one(&mut connection)
        .await
        .map_err(connected)?;
    let present = present.ok_or_else(|| OpenError::NoSchema(location.clone()))?;
    let with_tables = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relname = 'symbolon_migration' AND n.nspname = ANY (current_schemas(false))";
    let with_tables = query_as::<_, (String,)>(with_tables)
        .fetch_all(&mut connection)
        .await
        .map_err(connected)?;
    let other = with_tables.into_iter().find(|(schema,)| *schema != present);
    connection.close().await.map_err(connected)?;
    match other {
        Some((other,)) => Err(OpenError::OtherSchema(location.clone(), other, present)),
        None => Ok(present),
    }
}

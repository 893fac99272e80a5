//! PostgreSQL: the schema of the tables, and connections to the server.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{ConnectOptions, Connection, query_scalar};
use sea_orm::{DatabaseConnection, SqlxError, SqlxPostgresConnector};
use tokio::time::timeout;

use crate::store::database_url::Location;
use crate::store::heartbeat::Heartbeat;
use crate::store::open_error::OpenError;
use crate::store::pool_eviction::PoolEviction;

/// The idle time after which a connection is tested before it is used.
const TEST_AFTER: Duration = Duration::from_secs(1);

/// The time limit for the test. The limit is short because, if the network has dropped the connection, a request
/// waits until the limit. The first failed test evicts all open connections.
const TEST_TIMEOUT: Duration = Duration::from_millis(100);

/// The time limit for the rollback when a connection is returned to the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// The time after which idle connections are closed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The query for the schemas in the search path that contain tables of Symbolon.
const SCHEMAS_WITH_TABLES: &str = "SELECT n.nspname::text FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = 'symbolon_migration' AND n.nspname = ANY (current_schemas(false))";

/// Opens a pool of connections.
pub(super) fn connect(
    options: &PgConnectOptions,
    size: u32,
    acquire_timeout: Duration,
    eviction: &Arc<PoolEviction>,
    heartbeat: &Arc<Heartbeat>,
) -> DatabaseConnection {
    let (acquired, released) = (Arc::clone(eviction), Arc::clone(eviction));
    let heartbeat = Arc::clone(heartbeat);
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let heartbeat = Arc::clone(&heartbeat);
            Box::pin(async move { heartbeat.refuse_standby(connection).await })
        })
        .before_acquire(move |connection, used| {
            let eviction = Arc::clone(&acquired);
            Box::pin(async move {
                if eviction.is_evicted(used.age) {
                    return Ok(false);
                }
                if used.idle_for < TEST_AFTER {
                    return Ok(true);
                }
                let answer = timeout(TEST_TIMEOUT, connection.ping()).await;
                let is_usable = matches!(answer, Ok(Ok(())));
                if !is_usable {
                    eviction.evict_all();
                }
                Ok(is_usable)
            })
        })
        .after_release(move |connection, used| {
            let eviction = Arc::clone(&released);
            Box::pin(async move {
                let answer = timeout(RELEASE_TIMEOUT, connection.ping()).await;
                answer.map_err(|_| SqlxError::PoolTimedOut)??;
                Ok(!eviction.is_evicted(used.age) && !connection.is_in_transaction())
            })
        })
        .connect_lazy_with(options.clone());
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

/// Returns the schema in which tables are created. All connections are restricted to this schema. Otherwise, the
/// tables could be created again in a schema that is created later and precedes this schema in the search path.
pub(super) async fn find_schema(
    location: &Location,
    options: &PgConnectOptions,
) -> Result<String, OpenError> {
    let schemas = async {
        let mut connection = options.connect().await?;
        let current = query_scalar::<_, Option<String>>("SELECT current_schema()::text")
            .fetch_one(&mut connection)
            .await?;
        let with_tables = query_scalar::<_, String>(SCHEMAS_WITH_TABLES)
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok((current, with_tables))
    };
    let schemas = schemas.await;
    let (current, with_tables) =
        schemas.map_err(|error| OpenError::Server(location.clone(), error))?;
    let current = current.ok_or_else(|| OpenError::NoSchema(location.clone()))?;
    match with_tables.into_iter().find(|schema| *schema != current) {
        Some(other) => Err(OpenError::OtherSchema(location.clone(), other, current)),
        None => Ok(current),
    }
}

//! Connections to the PostgreSQL server.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Connection;
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::{DatabaseConnection, SqlxError, SqlxPostgresConnector};
use tokio::time::timeout;

use crate::store::heartbeat::Heartbeat;
use crate::store::pool_eviction::PoolEviction;
use crate::store::pool_metrics::end_wait;
use crate::store::postgres_connection::SessionOptions;

/// The idle time after which a connection is tested before it is used.
const TEST_AFTER: Duration = Duration::from_secs(1);

/// The time limit for the test. The limit is short, because a request waits for this whole time if the network
/// has dropped the connection. The first failed test evicts all open connections.
const TEST_TIMEOUT: Duration = Duration::from_millis(100);

/// The time limit for the rollback when a connection is returned to the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// The time after which idle connections are closed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Opens a pool of connections.
pub(super) fn connect(
    options: &SessionOptions,
    size: u32,
    acquire_timeout: Duration,
    eviction: &Arc<PoolEviction>,
    heartbeat: &Arc<Heartbeat>,
) -> DatabaseConnection {
    let (acquired, released) = (Arc::clone(eviction), Arc::clone(eviction));
    let (heartbeat, session) = (Arc::clone(heartbeat), Arc::new(options.clone()));
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let (heartbeat, session) = (Arc::clone(&heartbeat), Arc::clone(&session));
            Box::pin(async move {
                session.apply(connection).await?;
                heartbeat.refuse_unsuitable(connection).await?;
                end_wait();
                Ok(())
            })
        })
        .before_acquire(move |connection, used| {
            let eviction = Arc::clone(&acquired);
            Box::pin(async move {
                if eviction.is_evicted(used.age) {
                    return Ok(false);
                }
                if used.idle_for < TEST_AFTER {
                    end_wait();
                    return Ok(true);
                }
                let answer = timeout(TEST_TIMEOUT, connection.ping()).await;
                let is_usable = matches!(answer, Ok(Ok(())));
                if is_usable {
                    end_wait();
                } else {
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
        .connect_lazy_with(options.options.clone());
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

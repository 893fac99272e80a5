//! Metrics of a pool of connections: the wait for a connection, the errors of statements, and the number of connections.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbBackend, DbErr};
use tokio::task_local;

use crate::store::errors::{ErrorKind, kind};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabels {
    pool: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
}

/// The label value of the connections that only read.
pub(crate) const READERS: &str = "readers";

/// The label value of the connections that write.
pub(crate) const WRITERS: &str = "writers";

task_local! {
    /// The beginning of the wait of the current task, and the histogram that records the wait. The callbacks of a pool get
    /// no argument that identifies the waiting task.
    static WAIT: (Instant, Histogram);
}

/// The metrics of all pools of a database.
#[derive(Debug)]
pub(crate) struct DatabaseMetrics {
    errors: Family<ErrorLabels, Counter>,
    waits: Family<PoolLabels, Histogram, fn() -> Histogram>,
}

/// The metrics of one pool.
#[derive(Clone, Debug)]
pub(super) struct PoolMetrics {
    errors: Family<ErrorLabels, Counter>,
    waits: Histogram,
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolState {
    /// The label value of the pool.
    pub(crate) pool: &'static str,
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) max: u32,
}

impl DatabaseMetrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            errors: Family::default(),
            // From 0.1 ms to 6.6 s. A connection that is free takes less than 0.1 ms.
            waits: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 4.0, 9))
            }),
        };
        for kind in ErrorKind::ALL.map(ErrorKind::name) {
            drop(metrics.errors.get_or_create(&ErrorLabels { kind }));
        }
        metrics
    }

    /// Returns the metrics of the pool with this label value.
    pub(super) fn of_pool(&self, pool: &'static str) -> PoolMetrics {
        PoolMetrics {
            errors: self.errors.clone(),
            waits: self.waits.get_or_create_owned(&PoolLabels { pool }),
        }
    }

    /// Adds the metrics to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Number of failed database statements, by kind. Violations of unique constraints are not counted";
        registry.register("database_errors", help, self.errors.clone());
        let help =
            "Time to get a database connection from the pool or to open a connection, in seconds";
        registry.register("database_pool_wait_seconds", help, self.waits.clone());
    }
}

impl PoolMetrics {
    /// Records the time until `statement` gets a connection from the pool.
    pub(super) async fn measure_wait<T>(
        self,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let started = Instant::now();
        let result = WAIT.scope((started, self.waits.clone()), statement).await;
        if let Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) = result {
            self.waits.observe(started.elapsed().as_secs_f64());
        }
        result
    }

    /// Counts a failed statement.
    pub(super) fn count_error(&self, error: &DbErr) {
        if let Some(kind) = kind(error) {
            let kind = kind.name();
            self.errors.get_or_create(&ErrorLabels { kind }).inc();
        }
    }
}

/// Ends the wait of the current task, if the task waits in [`PoolMetrics::measure_wait`]. Pools call this function when
/// they pass on a connection.
pub(super) fn end_wait() {
    let _ = WAIT.try_with(|(started, waits)| waits.observe(started.elapsed().as_secs_f64()));
}

impl PoolState {
    pub(super) fn of(pool: &'static str, connection: &DatabaseConnection) -> Self {
        let is_postgres = connection.get_database_backend() == DbBackend::Postgres;
        let (size, idle, max) = if is_postgres {
            let pool = connection.get_postgres_connection_pool();
            (
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            )
        } else {
            let pool = connection.get_sqlite_connection_pool();
            (
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            )
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self {
            pool,
            idle,
            // The two numbers are read one after the other.
            in_use: size.saturating_sub(idle),
            max,
        }
    }
}

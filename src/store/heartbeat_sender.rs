//! The sender of heartbeats.

use std::sync::Arc;
use std::time::Instant;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_as};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::Clock;
use crate::store::heartbeat::{CHANNEL, Heartbeat, INTERVAL};
use crate::store::postgres_connection::{
    SessionOptions, code, has_transaction_pooling, is_unreachable, lacks_prepared_statement,
};
use crate::store::server_state::State;
use crate::store::server_timelines::Timeline;

/// The statement that sends a heartbeat. Returns the server's time in milliseconds, whether transactions can write,
/// the number of tables of `$3` that the role can write to, and the process of the server. `pg_notify` fails with SQLSTATE
/// 25006 on a standby. Heartbeats need not be durable. The setting ends with the transaction, because a pooler could give
/// the connection to another client.
const SEND: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    current_setting('transaction_read_only') = 'off', ( \
        SELECT count(*) FROM pg_class t WHERE t.relnamespace = current_schema()::regnamespace \
        AND t.relkind IN ('r', 'p') AND t.relname = ANY ($3) \
        AND has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'INSERT') \
        AND has_table_privilege(t.oid, 'UPDATE') AND has_table_privilege(t.oid, 'DELETE')), \
    pg_backend_pid() \
    FROM set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

/// The connection that sends heartbeats.
struct Sender {
    connection: PgConnection,
    timeline: Option<Timeline>,
    has_transaction_pooling: bool,
    /// The process of the server that executed the last heartbeat.
    process: Option<i32>,
}

impl Sender {
    async fn open(heartbeat: &Heartbeat, options: &SessionOptions) -> Result<Self, Error> {
        let mut connection = options.options.connect().await?;
        let timeline = Timeline::of(&mut connection).await;
        let check = has_transaction_pooling(&mut connection, &options.options);
        let has_transaction_pooling = match timeout(heartbeat.timeout() / 2, check).await {
            Ok(Ok(has_transaction_pooling)) => has_transaction_pooling,
            // The second connection cannot be opened, for example because all connections are in use. Transaction
            // pooling ends only with a check that succeeds.
            Ok(Err(_)) | Err(_) => heartbeat.state() == State::TransactionPooling,
        };
        if !has_transaction_pooling {
            options.apply(&mut connection).await?;
            heartbeat.timelines.set_sender(timeline);
        }
        Ok(Self {
            connection,
            timeline,
            has_transaction_pooling,
            process: None,
        })
    }

    /// Sends a heartbeat. Returns the state of the server.
    async fn send(&mut self, heartbeat: &Heartbeat) -> Result<State, Error> {
        if self.has_transaction_pooling {
            return Ok(State::TransactionPooling);
        }
        if self.timeline.is_some_and(|own| heartbeat.is_outdated(own)) {
            return Ok(State::Outdated);
        }
        let (started, started_at) = (Instant::now(), Clock::System.now());
        let tables = heartbeat.tables();
        let answer = query_as::<_, (i64, bool, i64, i32)>(SEND)
            .bind(CHANNEL)
            .bind(heartbeat.payload())
            .bind(tables)
            .fetch_one(&mut self.connection)
            .await;
        match answer {
            Ok((.., process))
                if self
                    .process
                    .replace(process)
                    .is_some_and(|last| last != process) =>
            {
                Ok(State::TransactionPooling)
            }
            Ok((millis, is_writable, writable_tables, _)) => {
                heartbeat
                    .clock()
                    .record(started_at, started.elapsed(), millis);
                let is_writable =
                    is_writable && usize::try_from(writable_tables) == Ok(tables.len());
                Ok(if is_writable {
                    State::Available
                } else {
                    State::ReadOnly
                })
            }
            Err(error) if code(&error).as_deref() == Some("25006") => Ok(State::ReadOnly),
            Err(error) => Err(error),
        }
    }
}

/// Sends the first heartbeats, which measure the server's clock and determine the state of the server.
///
/// # Errors
///
/// Returns an error if the connection cannot be opened or fails.
pub(super) async fn send_first(
    heartbeat: &Heartbeat,
    options: &SessionOptions,
) -> Result<(), Error> {
    let mut sender = Sender::open(heartbeat, options).await?;
    for _ in 0..3 {
        let state = sender.send(heartbeat).await?;
        heartbeat.set_state(state);
    }
    sender.connection.close().await
}

/// Sends heartbeats until the future is dropped.
pub(super) async fn send_periodically(heartbeat: Arc<Heartbeat>, options: SessionOptions) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut connection, mut is_refused) = (None, false);
    loop {
        ticks.tick().await;
        let must_replace = heartbeat.take_replacement();
        let mut current = connection.take().filter(|_| !must_replace);
        let is_new = current.is_none();
        let sent = timeout(heartbeat.timeout(), async {
            let current = match &mut current {
                Some(current) => current,
                none => none.insert(Sender::open(&heartbeat, &options).await?),
            };
            current.send(&heartbeat).await
        });
        match sent.await {
            Ok(Ok(state)) => {
                if is_new {
                    heartbeat.eviction.evict_all();
                }
                // If the server is read-only, the connection is replaced, because a new connection may lead to
                // the primary or start with other default settings.
                connection = current.filter(|_| state == State::Available);
                is_refused = false;
                heartbeat.set_state(state);
            }
            // The existing connection has failed. The next heartbeat is sent immediately, because a new
            // connection may work.
            Ok(Err(_)) if !is_new => ticks.reset_immediately(),
            Ok(Err(error)) if lacks_prepared_statement(&error) => {
                heartbeat.set_state(State::TransactionPooling);
            }
            Ok(Err(error)) if !is_unreachable(&error) => {
                if !is_refused {
                    tracing::warn!(%error, "the database refuses a heartbeat");
                }
                is_refused = true;
                // If the server has too many connections, the existing connections may still work.
                let is_full = code(&error).is_some_and(|code| code.starts_with("53"));
                match heartbeat.state() {
                    State::TransactionPooling if is_full => {}
                    _ if is_full => heartbeat.set_state(State::Available),
                    _ => heartbeat.set_state(State::ReadOnly),
                }
            }
            Ok(Err(_)) | Err(_) => heartbeat.set_state(State::Unreachable),
        }
    }
}

//! Heartbeats, which show whether a PostgreSQL server answers, accepts writes and delivers notifications. The
//! heartbeats also measure the difference between the clocks of the server and of this machine.
//!
//! A heartbeat is a notification that is sent through one connection and received through another connection.
//! Notifications arrive in the order in which their transactions were committed. Therefore, when a heartbeat arrives,
//! the notifications of all changes that were committed before the heartbeat was sent have also arrived.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Connection, Error, query_as, query_scalar};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::{BootClock, Clock, DatabaseClock};
use crate::store::pool_eviction::PoolEviction;
use crate::store::postgres_connection::{SessionOptions, code, is_unreachable};
use crate::store::server_state::State;
use crate::store::server_timelines::{HighestTimelines, Timeline};

/// The name of the channel for notifications.
pub(super) const CHANNEL: &str = "symbolon";

/// The interval at which heartbeats are sent.
pub(super) const INTERVAL: Duration = Duration::from_millis(300);

/// The time for which cached identities can be used after the last received heartbeat was sent.
const TRUST_PERIOD: Duration = Duration::from_secs(1);

/// The prefix of heartbeats. Notifications of changes begin with a digit, or are the word `any`.
const PREFIX: &str = "beat ";

/// The statement that sends a heartbeat. Returns the server's time in milliseconds, whether transactions can write,
/// the number of tables of `$3` that the role can write to, and the process of the server. `pg_notify` fails with SQLSTATE 25006 on a standby.
const SEND: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    current_setting('transaction_read_only') = 'off', ( \
        SELECT count(*) FROM pg_class t WHERE t.relnamespace = current_schema()::regnamespace \
        AND t.relkind IN ('r', 'p') AND t.relname = ANY ($3) \
        AND has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'INSERT') \
        AND has_table_privilege(t.oid, 'UPDATE') AND has_table_privilege(t.oid, 'DELETE')), \
    pg_backend_pid() \
    FROM pg_notify($1, $2)";

/// The query that returns whether the server of a connection accepts writes.
const IS_WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// The connection that sends heartbeats.
struct Sender {
    connection: PgConnection,
    timeline: Option<Timeline>,
    /// The process of the server that executed the last heartbeat.
    process: Option<i32>,
}

/// The sender and the receiver of the heartbeats of this instance.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// A random number that distinguishes the heartbeats of this instance from those of other instances.
    instance: u64,
    /// A clock that also runs while the machine is suspended.
    clock: BootClock,
    /// The time at which the last received heartbeat was sent, in microseconds of `clock`. 0 if no heartbeat was
    /// received through the current connection.
    received: AtomicU64,
    state: watch::Sender<State>,
    /// The time without an answer after which the server is considered unreachable.
    timeout: Duration,
    /// The tables that the role must be able to write to. Unset until the tables exist.
    tables: OnceLock<&'static [&'static str]>,
    /// The eviction of connections that all pools for this server share.
    eviction: Arc<PoolEviction>,
    database_clock: DatabaseClock,
    timelines: HighestTimelines,
}

impl Heartbeat {
    /// Creates the heartbeat for a server. Assumes that the server is reachable until a heartbeat shows otherwise.
    pub(super) fn new(
        timeout: Duration,
        clock: BootClock,
        eviction: Arc<PoolEviction>,
    ) -> Arc<Self> {
        Arc::new(Self {
            instance: rand::random(),
            clock,
            received: AtomicU64::new(0),
            state: watch::Sender::new(State::Available),
            timeout,
            tables: OnceLock::new(),
            eviction,
            database_clock: DatabaseClock::default(),
            timelines: HighestTimelines::default(),
        })
    }

    /// Returns the measured clock of the server.
    pub(super) fn clock(&self) -> &DatabaseClock {
        &self.database_clock
    }

    /// Returns the time within which the server must answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether the server answers and accepts writes, according to the last heartbeat.
    pub(super) fn is_available(&self) -> bool {
        *self.state.borrow() == State::Available
    }

    /// Returns the time since the last received heartbeat was sent, or `None` if no heartbeat was received. This
    /// instance has received the notifications of all changes that were committed before that heartbeat was sent.
    pub(super) fn age(&self) -> Option<Duration> {
        let sent = self.received.load(Ordering::SeqCst);
        (sent > 0).then(|| Duration::from_micros(self.clock.micros().saturating_sub(sent)))
    }

    /// Returns whether cached identities can be used. This is the case if changes by other instances are known and
    /// the server is the primary.
    pub(super) fn permits_cache(&self) -> bool {
        self.age().is_some_and(|age| age <= TRUST_PERIOD) && self.is_available()
    }

    /// Runs a statement. Returns an error immediately if the server is unavailable or becomes unavailable. Otherwise,
    /// a statement on a dead connection would wait for its time limit.
    pub(super) async fn fail_fast<T>(
        &self,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut state = self.state.subscribe();
        if self.is_available() {
            tokio::select! {
                biased;
                result = statement => return result,
                _ = state.wait_for(|state| *state != State::Available) => {}
            }
        }
        Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    /// Refuses a new connection to a standby or to an old primary while heartbeats reach the primary, because the data
    /// of these servers may be outdated. A load balancer, or a host name during a failover, can lead to all servers.
    pub(super) async fn refuse_unsuitable(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), Error> {
        if !self.is_available() {
            // While the server is unavailable, statements are refused. When the server is available again, this
            // connection is evicted.
            return Ok(());
        }
        if let Some(timeline) = Timeline::of(connection).await
            && self.is_outdated(timeline)
        {
            return Err(Error::Protocol(
                "the server of the connection is an old primary".to_owned(),
            ));
        }
        match query_scalar(IS_WRITABLE).fetch_one(connection).await {
            Ok(false) => Err(Error::Protocol(
                "the server of the connection is a standby".to_owned(),
            )),
            // The error is ignored here, because the first statement on the connection fails with the same error.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Records a timeline. Returns whether the timeline belongs to an old primary.
    fn is_outdated(&self, timeline: Timeline) -> bool {
        if self.timelines.record(timeline) {
            // The existing connections may lead to the old primary.
            self.eviction.evict_all();
        }
        self.timelines.is_outdated(timeline)
    }

    async fn open_sender(&self, options: &SessionOptions) -> Result<Sender, Error> {
        let mut connection = options.connect().await?;
        let timeline = Timeline::of(&mut connection).await;
        Ok(Sender {
            connection,
            timeline,
            process: None,
        })
    }

    /// Sets the tables that the role must be able to write to.
    pub(super) fn set_required_tables(&self, tables: &'static [&'static str]) {
        self.tables.get_or_init(|| tables);
    }

    /// Sends the first heartbeats, which measure the server's clock and determine the state of the server.
    pub(super) async fn send_first(&self, options: &SessionOptions) -> Result<(), Error> {
        let mut sender = self.open_sender(options).await?;
        for _ in 0..3 {
            let state = self.send(&mut sender).await?;
            self.set_state(state);
        }
        sender.connection.close().await
    }

    /// Sends heartbeats until the future is dropped.
    pub(super) async fn send_periodically(self: Arc<Self>, options: SessionOptions) {
        // Heartbeats need not be durable.
        let options = options.with("synchronous_commit", "off");
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut connection, mut is_refused) = (None, false);
        loop {
            ticks.tick().await;
            let is_new = connection.is_none();
            let mut current = connection.take();
            let sent = timeout(self.timeout, async {
                let current = match &mut current {
                    Some(current) => current,
                    none => none.insert(self.open_sender(&options).await?),
                };
                self.send(current).await
            });
            match sent.await {
                Ok(Ok(state)) => {
                    if is_new {
                        self.eviction.evict_all();
                    }
                    // If the server is read-only, the connection is replaced, because a new connection may lead to
                    // the primary or start with other default settings.
                    connection = current.filter(|_| state == State::Available);
                    is_refused = false;
                    self.set_state(state);
                }
                // The existing connection has failed. The next heartbeat is sent immediately, because a new
                // connection may work.
                Ok(Err(_)) if !is_new => ticks.reset_immediately(),
                Ok(Err(error)) if !is_unreachable(&error) => {
                    if !is_refused {
                        tracing::warn!(%error, "the database refuses a heartbeat");
                    }
                    is_refused = true;
                    // If the server has too many connections, the existing connections may still work.
                    let is_full = code(&error).is_some_and(|code| code.starts_with("53"));
                    self.set_state(if is_full {
                        State::Available
                    } else {
                        State::ReadOnly
                    });
                }
                Ok(Err(_)) | Err(_) => self.set_state(State::Unreachable),
            }
        }
    }

    fn set_state(&self, state: State) {
        if state == State::Available && !self.is_available() {
            // Connections that were opened while the server was unavailable were not tested and may lead to a
            // standby.
            self.eviction.evict_all();
        }
        let before = self.state.send_replace(state);
        if before != state {
            state.log();
        }
    }

    async fn send(&self, sender: &mut Sender) -> Result<State, Error> {
        if sender.timeline.is_some_and(|own| self.is_outdated(own)) {
            return Ok(State::Outdated);
        }
        let (started, started_at) = (Instant::now(), Clock::System.now());
        let payload = format!("{PREFIX}{:x} {}", self.instance, self.clock.micros());
        let tables = self.tables.get().copied().unwrap_or_default();
        let answer = query_as::<_, (i64, bool, i64, i32)>(SEND)
            .bind(CHANNEL)
            .bind(payload)
            .bind(tables)
            .fetch_one(&mut sender.connection)
            .await;
        match answer {
            Ok((.., process))
                if sender
                    .process
                    .replace(process)
                    .is_some_and(|last| last != process) =>
            {
                Ok(State::TransactionPooling)
            }
            Ok((millis, is_writable, writable_tables, _)) => {
                self.database_clock
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

    /// Returns whether a notification is a heartbeat from any instance.
    pub(super) fn is_heartbeat(payload: &str) -> bool {
        payload.starts_with(PREFIX)
    }

    /// Returns a payload that instances receive as the heartbeat of another instance, and ignore.
    #[cfg(feature = "server")]
    pub(super) fn payload_of_copy(number: u64) -> String {
        format!("{PREFIX}{number:x} copy")
    }

    /// Records a received heartbeat. Returns `false`, without recording the heartbeat, if another instance sent it.
    pub(super) fn record_received(&self, payload: &str) -> bool {
        let prefix = format!("{PREFIX}{:x} ", self.instance);
        let sent = payload
            .strip_prefix(&prefix)
            .and_then(|sent| sent.parse().ok());
        if let Some(sent) = sent {
            self.received.fetch_max(sent, Ordering::SeqCst);
        }
        sent.is_some()
    }

    /// Discards the last received heartbeat. This is necessary when notifications may be lost.
    pub(super) fn reset_received(&self) {
        self.received.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_sent_before_a_suspension_of_the_machine_is_not_trusted() {
        let micros = Arc::new(AtomicU64::new(1_000_000));
        let clock = BootClock::Mock(Arc::clone(&micros));
        let heartbeat = Heartbeat::new(Duration::from_secs(1), clock, PoolEviction::new());
        assert!(!heartbeat.permits_cache());
        heartbeat.received.store(1_000_000, Ordering::SeqCst);
        micros.store(1_900_000, Ordering::SeqCst);
        assert!(heartbeat.permits_cache());
        micros.fetch_add(60_000_000, Ordering::SeqCst);
        assert!(!heartbeat.permits_cache());
    }
}

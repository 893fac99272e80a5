//! The heartbeat of a PostgreSQL server: whether it answers and can be written, whether its notifications
//! arrive, and how far its clock is from this machine's.
//!
//! A heartbeat is a notification that is sent through one connection and received through another one.
//! Notifications arrive in the order in which their transactions were committed. So when a heartbeat has
//! arrived, all notifications of changes that were committed before it was sent have arrived as well.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{
    PgConnectOptions, PgConnection, PgListener, PgNotification, PgPoolOptions,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_as, query_scalar};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::{BootClock, Clock, DatabaseClock};
use crate::store::affected::Affected;
use crate::store::monitored_connection::Discard;

/// The channel of the notifications.
pub(super) const CHANNEL: &str = "symbolon";

/// How often a heartbeat is sent.
const INTERVAL: Duration = Duration::from_millis(300);

/// How long after the sending of a heartbeat that has arrived cached identities are used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A connection through which nothing has arrived for so long, although heartbeats are sent, is replaced.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to listen to a server that delivers no notifications.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The prefix of heartbeats. Notifications of changes begin with a digit, or are `any`.
const BEAT: &str = "beat ";

/// Sends a heartbeat. Returns the server's clock in milliseconds, whether transactions can write, and how
/// many of Symbolon's tables this role can write. On a standby `pg_notify` fails with 25006.
const SEND: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    current_setting('transaction_read_only') = 'off', ( \
        SELECT count(*) FROM pg_class t WHERE t.relnamespace = current_schema()::regnamespace \
        AND t.relkind IN ('r', 'p') AND t.relname LIKE 'symbolon\\_%' \
        AND t.relname <> 'symbolon_migration' \
        AND has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'INSERT') \
        AND has_table_privilege(t.oid, 'UPDATE') AND has_table_privilege(t.oid, 'DELETE')) \
    FROM pg_notify($1, $2)";

/// Whether a connection leads to a server that can be written.
const IS_WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// What the last heartbeat found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Available,
    /// The server does not answer.
    Unreachable,
    /// It is a standby, or read-only, or the role may not write.
    ReadOnly,
}

#[derive(Debug)]
pub(super) struct Heartbeat {
    /// Distinguishes the heartbeats of instances.
    instance: u64,
    /// Also runs while the machine is suspended.
    clock: BootClock,
    /// When the last heartbeat that has arrived was sent, in microseconds of `clock`; 0 if none has arrived
    /// through the present connection.
    heard: AtomicU64,
    state: watch::Sender<State>,
    /// A server that has not answered for so long is unreachable.
    timeout: Duration,
    /// The number of tables that the role must be able to write.
    tables: AtomicI64,
    /// Of all connections to the server.
    discard: Arc<Discard>,
    database_clock: DatabaseClock,
}

impl Heartbeat {
    /// Of a server that is reachable now.
    pub(super) fn new(timeout: Duration, clock: BootClock, discard: Arc<Discard>) -> Arc<Self> {
        Arc::new(Self {
            instance: rand::random(),
            clock,
            heard: AtomicU64::new(0),
            state: watch::Sender::new(State::Available),
            timeout,
            tables: AtomicI64::new(0),
            discard,
            database_clock: DatabaseClock::default(),
        })
    }

    /// The clock of the server.
    pub(super) fn clock(&self) -> &DatabaseClock {
        &self.database_clock
    }

    /// How long ago the last heartbeat that has arrived was sent. All changes that were committed before
    /// are known.
    pub(super) fn age(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::SeqCst);
        (heard > 0).then(|| Duration::from_micros(self.clock.micros().saturating_sub(heard)))
    }

    /// Whether cached identities may be used: changes of other instances are known, and the server is
    /// the primary.
    pub(super) fn is_trusted(&self) -> bool {
        self.age().is_some_and(|age| age <= TRUSTED_FOR) && *self.state.borrow() == State::Available
    }

    /// Waits for the server. Fails at once if it is unavailable, and as soon as it becomes so: a statement
    /// on a dead connection cannot be told from a slow one.
    pub(super) async fn fail_fast<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut state = self.state.subscribe();
        let is_available = *state.borrow() == State::Available;
        if is_available {
            tokio::select! {
                biased;
                result = work => return result,
                _ = state.wait_for(|state| *state != State::Available) => {}
            }
        }
        Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    /// Refuses a new connection to a standby, while the server that heartbeats reach is the primary: a
    /// balancer, or a host name during a failover, may lead to both. A standby shows an old state.
    pub(super) async fn refuse_standby(&self, connection: &mut PgConnection) -> Result<(), Error> {
        if *self.state.borrow() != State::Available {
            // No request is served, and this connection is discarded when that ends.
            return Ok(());
        }
        match query_scalar(IS_WRITABLE).fetch_one(connection).await {
            Ok(false) => Err(Error::Protocol(
                "the connection leads to a standby".to_owned(),
            )),
            // After an error the server stops. The pool would log it, and the first statement reports it too.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// From now on the role must be able to write this number of tables.
    pub(super) fn require_tables(&self, count: i64) {
        self.tables.store(count, Ordering::SeqCst);
    }

    /// Measures the server's clock and finds out whether the server can be written.
    pub(super) async fn start(&self, options: &PgConnectOptions) -> Result<(), Error> {
        let mut connection = options.connect().await?;
        for _ in 0..3 {
            let state = self.send(&mut connection).await?;
            self.set_state(state);
        }
        connection.close().await
    }

    /// Sends heartbeats until it is dropped.
    pub(super) async fn send_all(self: Arc<Self>, options: PgConnectOptions) {
        // Heartbeats need not survive a crash.
        let options = options.options([("synchronous_commit", "off")]);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut connection, mut is_refused) = (None, false);
        loop {
            ticks.tick().await;
            let is_new = connection.is_none();
            let mut own = connection.take();
            let sent = timeout(self.timeout, async {
                let own = match &mut own {
                    Some(own) => own,
                    none => none.insert(options.connect().await?),
                };
                self.send(own).await
            });
            match sent.await {
                Ok(Ok(state)) => {
                    if is_new {
                        self.discard.open_connections();
                    }
                    // Another connection may lead to the primary, or have another default.
                    connection = own.filter(|_| state == State::Available);
                    is_refused = false;
                    self.set_state(state);
                }
                // The connection was ended. A new one may work.
                Ok(Err(_)) if !is_new => ticks.reset_immediately(),
                Ok(Err(error)) if !is_away(&error) => {
                    if !is_refused {
                        tracing::warn!(%error, "the database refuses a heartbeat");
                    }
                    is_refused = true;
                    // There are too many connections. The existing ones may work.
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
        if state == State::Available && *self.state.borrow() != State::Available {
            // They have not been checked.
            self.discard.open_connections();
        }
        let before = self.state.send_replace(state);
        match state {
            _ if before == state => {}
            State::Available => tracing::info!("the database is available again"),
            State::Unreachable => {
                tracing::warn!("the database does not answer: requests that need it are refused");
            }
            State::ReadOnly => tracing::warn!(
                "the database cannot be written, because it is a standby, read-only, or its role \
                 lacks privileges: requests that need it are refused"
            ),
        }
    }

    async fn send(&self, connection: &mut PgConnection) -> Result<State, Error> {
        let (asked, at) = (Instant::now(), Clock::System.now());
        let sent = self.clock.micros();
        let beat = format!("{BEAT}{:x} {sent}", self.instance);
        let notified = query_as::<_, (i64, bool, i64)>(SEND)
            .bind(CHANNEL)
            .bind(beat)
            .fetch_one(connection)
            .await;
        match notified {
            Ok((millis, is_writable, tables)) => {
                self.database_clock.learn(at, asked.elapsed(), millis);
                Ok(
                    if is_writable && tables >= self.tables.load(Ordering::SeqCst) {
                        State::Available
                    } else {
                        State::ReadOnly
                    },
                )
            }
            Err(error) if code(&error).as_deref() == Some("25006") => Ok(State::ReadOnly),
            Err(error) => Err(error),
        }
    }

    /// Listens until it is dropped, to other instances and to its own heartbeats. `on_change` is called
    /// with the accounts that have changed.
    pub(super) async fn listen(
        self: Arc<Self>,
        options: PgConnectOptions,
        on_change: impl Fn(&Affected) + Send + Sync,
    ) {
        let (mut pause, mut in_vain) = (INTERVAL, 0_u32);
        loop {
            let heard_any = self.receive(&options, &on_change).await;
            // Changes until the next connection listens are not heard of.
            self.heard.store(0, Ordering::SeqCst);
            on_change(&Affected::Any);
            if heard_any {
                (pause, in_vain) = (INTERVAL, 0);
            } else if *self.state.borrow() == State::Available {
                in_vain = in_vain.saturating_add(1);
                pause = (pause * 2).min(LONGEST_PAUSE);
                if in_vain == 2 {
                    tracing::warn!(
                        "this database does not deliver notifications, as behind a connection pooler: \
                         every request asks it for the identity of its token"
                    );
                }
            }
            sleep(pause).await;
        }
    }

    /// Listens through one connection until it is lost or silent. Returns whether a heartbeat has arrived.
    async fn receive(
        &self,
        options: &PgConnectOptions,
        on_change: &(impl Fn(&Affected) + Send + Sync),
    ) -> bool {
        // A listener takes its connection from a pool and returns it there, for which a lost connection
        // needs long. So it has a pool of its own.
        let connect = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options.clone());
            let mut listener = PgListener::connect_with(&pool.await?).await?;
            listener.ignore_pool_close_event(true);
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, Error>(listener)
        };
        let Ok(Ok(mut listener)) = timeout(self.timeout, connect).await else {
            return false;
        };
        // All later changes are heard of. Earlier ones may have been missed.
        on_change(&Affected::Any);
        let mut heard_any = false;
        while let Ok(Ok(Some(notification))) = timeout(DEAF_AFTER, listener.try_recv()).await {
            heard_any |= self.take(&notification, on_change);
        }
        heard_any
    }

    /// Handles a notification. Returns whether it is a heartbeat of this instance.
    fn take(&self, notification: &PgNotification, on_change: &impl Fn(&Affected)) -> bool {
        let payload = notification.payload();
        let Some(beat) = payload.strip_prefix(BEAT) else {
            on_change(&Affected::from_payload(payload));
            return false;
        };
        let own = format!("{:x} ", self.instance);
        let sent = beat.strip_prefix(&own).and_then(|sent| sent.parse().ok());
        if let Some(sent) = sent {
            self.heard.fetch_max(sent, Ordering::SeqCst);
        }
        sent.is_some()
    }
}

/// Whether the server cannot answer at all.
fn is_away(error: &Error) -> bool {
    match code(error) {
        // It shuts down, has crashed, or starts up.
        Some(code) => code.starts_with("57P"),
        None => true,
    }
}

fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_from_before_the_machine_was_suspended_is_not_trusted() {
        let micros = Arc::new(AtomicU64::new(1_000_000));
        let clock = BootClock::Mock(Arc::clone(&micros));
        let heartbeat = Heartbeat::new(Duration::from_secs(1), clock, Discard::new());
        assert!(!heartbeat.is_trusted());
        heartbeat.heard.store(1_000_000, Ordering::SeqCst);
        micros.store(1_900_000, Ordering::SeqCst);
        assert!(heartbeat.is_trusted());
        // Instants do not advance meanwhile.
        micros.fetch_add(60_000_000, Ordering::SeqCst);
        assert!(!heartbeat.is_trusted());
    }

    #[test]
    fn a_server_that_cannot_be_written_is_not_trusted() {
        let clock = BootClock::Mock(Arc::new(AtomicU64::new(1)));
        let heartbeat = Heartbeat::new(Duration::from_secs(1), clock, Discard::new());
        heartbeat.heard.store(1, Ordering::SeqCst);
        assert!(heartbeat.is_trusted());
        for state in [State::ReadOnly, State::Unreachable] {
            heartbeat.set_state(state);
            assert!(!heartbeat.is_trusted());
        }
    }
}

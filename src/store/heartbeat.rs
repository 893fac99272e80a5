//! Heartbeats, which show whether a PostgreSQL server answers, accepts writes and delivers notifications. The
//! heartbeats also measure the difference between the clocks of the server and of this machine.
//!
//! A heartbeat is a notification that is sent through one connection and received through another connection.
//! Notifications arrive in the order in which their transactions were committed. Therefore, when a heartbeat arrives,
//! the notifications of all changes that were committed before the heartbeat was sent have also arrived.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Error, query_scalar};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::watch;

use crate::clock::{BootClock, DatabaseClock};
use crate::store::pool_eviction::PoolEviction;
use crate::store::server_state::State;
use crate::store::server_timelines::{Timeline, UsedTimelines};

/// The name of the channel for notifications.
pub(super) const CHANNEL: &str = "symbolon";

/// The interval at which heartbeats are sent.
pub(super) const INTERVAL: Duration = Duration::from_millis(300);

/// The time for which cached identities can be used after the last received heartbeat was sent.
const TRUST_PERIOD: Duration = Duration::from_secs(1);

/// The prefix of heartbeats. Notifications of changes begin with a digit, or are the word `any`.
const PREFIX: &str = "beat ";

/// The query that returns whether the server of a connection accepts writes.
const IS_WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// The state that the sender and the receiver of the heartbeats of this instance share.
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
    pub(super) eviction: Arc<PoolEviction>,
    database_clock: DatabaseClock,
    pub(super) timelines: UsedTimelines,
    /// Whether another connection has shown that the connection of the sender must be replaced.
    is_replaced: AtomicBool,
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
            timelines: UsedTimelines::default(),
            is_replaced: AtomicBool::new(false),
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
        self.state() == State::Available
    }

    /// Returns the state of the server at the last heartbeat.
    pub(super) fn state(&self) -> State {
        *self.state.borrow()
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

    /// Refuses a new connection to a standby, to an old primary or to another cluster while heartbeats reach the primary,
    /// because the data of these servers may be outdated. A load balancer, or a host name during a failover, can lead to
    /// all servers.
    pub(super) async fn refuse_unsuitable(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), Error> {
        if !self.is_available() {
            // While the server is unavailable, statements are refused. When the server is available again, this
            // connection is evicted.
            return Ok(());
        }
        let timeline = Timeline::of(connection).await;
        let outdated = timeline.is_some_and(|timeline| self.is_outdated(timeline));
        if !outdated {
            // An error is ignored here, because the first statement on the connection fails with the same error.
            let writable = query_scalar(IS_WRITABLE).fetch_one(connection).await;
            if let Ok(false) = writable {
                let reason = "the server of the connection is a standby";
                return Err(Error::Protocol(reason.to_owned()));
            }
        }
        // Another connection may have recorded a new primary since. This connection would survive that eviction, because
        // its age is counted from the end of this check.
        let reason = match timeline {
            Some(timeline) if self.is_outdated(timeline) => {
                "the server of the connection is an old primary"
            }
            Some(timeline) if self.timelines.is_of_another_system(timeline) => {
                self.eviction.evict_all();
                "the heartbeats reach another database cluster than the connection"
            }
            _ => return Ok(()),
        };
        // The new connection of the sender leads to the server to which the address leads now.
        self.replace_sender();
        Err(Error::Protocol(reason.to_owned()))
    }

    /// Records a timeline. Returns whether the timeline belongs to an old primary.
    pub(super) fn is_outdated(&self, timeline: Timeline) -> bool {
        if self.timelines.record(timeline) {
            // The existing connections may lead to the old primary.
            self.eviction.evict_all();
        }
        self.timelines.is_outdated(timeline)
    }

    /// Lets the sender open a new connection, and check the new connection, before the next heartbeat.
    pub(super) fn replace_sender(&self) {
        self.is_replaced.store(true, Ordering::SeqCst);
    }

    /// Returns whether [`Self::replace_sender`] was called since the last call of this function.
    pub(super) fn take_replacement(&self) -> bool {
        self.is_replaced.swap(false, Ordering::SeqCst)
    }

    /// Returns the tables that the role must be able to write to.
    pub(super) fn tables(&self) -> &'static [&'static str] {
        self.tables.get().copied().unwrap_or_default()
    }

    /// Sets the tables that the role must be able to write to.
    pub(super) fn set_required_tables(&self, tables: &'static [&'static str]) {
        self.tables.get_or_init(|| tables);
    }

    /// Sets the state of the server. Logs a change.
    pub(super) fn set_state(&self, state: State) {
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

    /// Returns the payload of a heartbeat that is sent now.
    pub(super) fn payload(&self) -> String {
        format!("{PREFIX}{:x} {}", self.instance, self.clock.micros())
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

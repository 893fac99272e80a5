//! The pulse of a PostgreSQL server: whether it answers, whether it tells what other instances
//! change, and how far its clock is from ours.
//!
//! A heartbeat is sent every now and then as a notification, through one connection, and comes back
//! through another one, which listens. Notifications arrive in the order in which their transactions
//! were committed; so whoever heard a heartbeat has heard of every change that was committed before it
//! was sent.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{
    PgConnectOptions, PgConnection, PgListener, PgNotification, PgPoolOptions,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_scalar};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::{Clock, DatabaseClock};
use crate::store::changes::{Affected, Changes};
use crate::store::is_lost;

/// What notifications are sent through.
pub(super) const CHANNEL: &str = "symbolon";

/// How often a heartbeat is sent.
const BEAT_EVERY: Duration = Duration::from_millis(300);

/// For so long after a heartbeat was sent that came back, what is remembered is relied on.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A connection that has told nothing for so long, although heartbeats are sent, is given up.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// How long it takes at most until another try to listen, where listening is of no use.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What heartbeats begin with; changes begin with a digit, or are of anybody.
const BEAT: &str = "beat ";

#[derive(Debug)]
pub(super) struct Pulse {
    /// Tells our heartbeats from those of other instances.
    instance: u64,
    began: Instant,
    /// When the last heartbeat was sent that came back, in microseconds since then; 0 while there is
    /// none, and once the connection is lost that they come back through.
    heard: AtomicU64,
    silent: watch::Sender<bool>,
    /// A server that has not answered for so long is taken to be away.
    patience: Duration,
    /// When a connection was last found to be lost, in microseconds since the beginning; 0 if none was.
    lost: AtomicU64,
    clock: DatabaseClock,
}

impl Pulse {
    /// Of a server that answers right now, and is taken to be away when it has not for so long.
    pub(super) fn new(patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            instance: rand::random(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            silent: watch::Sender::new(false),
            patience,
            lost: AtomicU64::new(0),
            clock: DatabaseClock::default(),
        })
    }

    /// Our clock, corrected.
    pub(super) fn clock(&self) -> &DatabaseClock {
        &self.clock
    }

    /// How long ago the last heartbeat was sent that came back: every change that was committed before
    /// is known here.
    pub(super) fn age(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::SeqCst);
        let sent = Duration::from_micros(heard);
        (heard > 0).then(|| self.began.elapsed().saturating_sub(sent))
    }

    /// Whether what is remembered can be relied on.
    pub(super) fn is_heard(&self) -> bool {
        self.age().is_some_and(|age| age <= TRUSTED_FOR)
    }

    /// Does what needs the server, unless it is away or goes away. While it is, nobody knocks at its door
    /// but the heartbeat.
    pub(super) async fn attend<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut silent = self.silent.subscribe();
        let is_silent = *silent.borrow();
        if !is_silent {
            tokio::select! {
                biased;
                done = work => {
                    if done.as_ref().is_err_and(is_lost) {
                        self.lost();
                    }
                    return done;
                }
                _ = silent.wait_for(|silent| *silent) => {}
            }
        }
        Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
    }

    /// Measures the clock, before anything is asked of it.
    pub(super) async fn start(&self, options: &PgConnectOptions) -> Result<(), Error> {
        let mut connection = options.connect().await?;
        for _ in 0..3 {
            self.send(&mut connection).await?;
        }
        connection.close().await
    }

    /// Sends heartbeats for ever.
    pub(super) async fn beat(self: Arc<Self>, options: PgConnectOptions) {
        // They need not survive anything.
        let options = options.options([("synchronous_commit", "off")]);
        let mut ticks = interval(BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut connection, mut is_refused) = (None, false);
        loop {
            ticks.tick().await;
            let is_new = connection.is_none();
            let mut own = connection.take();
            let sent = timeout(self.patience, async {
                let own = match &mut own {
                    Some(own) => own,
                    none => none.insert(options.connect().await?),
                };
                self.send(own).await
            });
            match sent.await {
                Ok(Ok(())) => {
                    if is_new {
                        self.lost();
                    }
                    connection = own;
                    is_refused = false;
                    self.is_silent(false);
                }
                // Somebody ended the connection; another one will do.
                Ok(Err(_)) if !is_new => ticks.reset_immediately(),
                // There are too many connections, perhaps; those that there are may do.
                Ok(Err(error)) if !is_away(&error) => {
                    if !is_refused {
                        tracing::warn!(%error, "the database takes no heartbeat");
                    }
                    is_refused = true;
                    self.is_silent(false);
                }
                Ok(Err(_)) | Err(_) => self.is_silent(true),
            }
        }
    }

    /// Whether a connection that has been idle for so long was so when another one was lost. Nobody
    /// knows whether anything comes through it any more.
    pub(super) fn is_doubtful(&self, idle: Duration) -> bool {
        let lost = self.lost.load(Ordering::SeqCst);
        lost > 0 && Duration::from_micros(lost) + idle >= self.began.elapsed()
    }

    /// Notes that a connection was lost.
    fn lost(&self) {
        self.lost.store(self.micros(), Ordering::SeqCst);
    }

    fn is_silent(&self, silent: bool) {
        if self.silent.send_replace(silent) == silent {
            return;
        }
        if silent {
            tracing::warn!("the database does not answer: requests that need it are refused");
        } else {
            tracing::info!("the database answers again");
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn send(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let (asked, at) = (Instant::now(), Clock::System.now());
        let sent = self.micros();
        let beat = format!("{BEAT}{:x} {sent}", self.instance);
        let notify = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
            FROM pg_notify($1, $2)";
        let notified = query_scalar::<_, i64>(notify)
            .bind(CHANNEL)
            .bind(beat)
            .fetch_one(connection)
            .await;
        match notified {
            Ok(millis) => {
                self.clock.learn(at, asked.elapsed(), millis);
                Ok(())
            }
            // A standby notifies nobody, but it answers.
            Err(error) if code(&error).as_deref() == Some("25006") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Listens for ever, to other instances and to our own heartbeats.
    pub(super) async fn listen(self: Arc<Self>, options: PgConnectOptions, changes: Arc<Changes>) {
        let (mut pause, mut in_vain) = (BEAT_EVERY, 0_u32);
        loop {
            let heard_any = self.hear(&options, &changes).await;
            // What happens until the next connection listens is not heard of.
            self.heard.store(0, Ordering::SeqCst);
            changes.are_told(&Affected::Any);
            if heard_any {
                (pause, in_vain) = (BEAT_EVERY, 0);
            } else if !*self.silent.borrow() {
                in_vain = in_vain.saturating_add(1);
                pause = (pause * 2).min(LONGEST_PAUSE);
                if in_vain == 2 {
                    tracing::warn!(
                        "this database does not deliver notifications, as behind a pooler or on a \
                         standby: every request asks it whom a token speaks for"
                    );
                }
            }
            sleep(pause).await;
        }
    }

    /// Listens through one connection, until it is lost or deaf; whether a heartbeat came back.
    async fn hear(&self, options: &PgConnectOptions, changes: &Changes) -> bool {
        // A listener takes its connection from a pool, and gives it back there for as long as it takes
        // when it is lost: nobody else waits for this one.
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
        let Ok(Ok(mut listener)) = timeout(self.patience, connect).await else {
            return false;
        };
        // From here on everything is heard of; what happened before is not known.
        changes.are_told(&Affected::Any);
        let mut heard_any = false;
        while let Ok(Ok(Some(told))) = timeout(DEAF_AFTER, listener.try_recv()).await {
            heard_any |= self.take(&told, changes);
        }
        heard_any
    }

    /// Whether it was a heartbeat of ours.
    fn take(&self, told: &PgNotification, changes: &Changes) -> bool {
        let Some(beat) = told.payload().strip_prefix(BEAT) else {
            changes.are_told(&Affected::from_payload(told.payload()));
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

/// Whether it is for the server's sake that there is no answer.
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

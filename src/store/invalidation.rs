//! Records when cached identities became invalid: through a commit of this process, or of another
//! process on the same database.
//!
//! Every invalidation has an [`Epoch`]. A cached identity may be used if its account, and all accounts
//! together, have not been invalidated since the epoch before it was read from the database, and no
//! commit that affects the account is under way. The second condition is needed because a commit is
//! visible in the database before the process that made it can record that.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::background::supervise;
use crate::model::user::UserId;
use crate::store::Store;
use crate::store::affected::Affected;
use crate::store::change_counter::ChangeCounter;
use crate::store::heartbeat::Heartbeat;

/// How often changes of other processes are looked for while a [`Listener`] waits for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The longest time until an instance on PostgreSQL knows a change of another one, also when notifications
/// no longer arrive.
pub(crate) const NOTIFICATION_BOUND: Duration = Duration::from_millis(1250);

/// The number of slots. Accounts that share a slot are invalidated together.
const SLOTS: usize = 4096;

/// A point in the order of invalidations in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// The state of one slot.
#[derive(Debug, Default)]
struct Slot {
    /// The epoch of the last invalidation.
    invalidated: AtomicU64,
    /// The number of commits under way that affect the slot.
    committing: AtomicU32,
}

/// The invalidations of cached identities.
#[derive(Debug)]
pub(super) struct Invalidation {
    /// The last epoch.
    last: AtomicU64,
    slots: Box<[Slot]>,
    all: Slot,
    source: Source,
    changes: watch::Sender<()>,
    /// Whether a task polls for changes of other processes.
    polling: Mutex<bool>,
}

/// How changes of other processes are noticed.
#[derive(Debug)]
enum Source {
    /// SQLite: by a counter in the database.
    Counter(ChangeCounter),
    /// PostgreSQL: by notifications, while the heartbeat confirms that they arrive.
    Notifications(Arc<Heartbeat>),
}

impl Invalidation {
    /// For a SQLite file.
    pub(super) fn with_counter(counter: ChangeCounter) -> Arc<Self> {
        Self::new(Source::Counter(counter))
    }

    /// For a PostgreSQL server.
    pub(super) fn with_notifications(heartbeat: &Arc<Heartbeat>) -> Arc<Self> {
        Self::new(Source::Notifications(Arc::clone(heartbeat)))
    }

    fn new(source: Source) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            all: Slot::default(),
            source,
            changes: watch::Sender::new(()),
            polling: Mutex::new(false),
        })
    }

    /// The counter, with SQLite.
    pub(super) fn counter(&self) -> Option<&ChangeCounter> {
        match &self.source {
            Source::Counter(counter) => Some(counter),
            Source::Notifications(_) => None,
        }
    }

    /// Distrusts the cached identities of the affected accounts from now until the commit has ended,
    /// and invalidates them then. `count` is the value that the transaction gave the change counter.
    pub(super) fn begin_commit(self: &Arc<Self>, affected: Affected, count: Option<i64>) -> Commit {
        let commit = Commit {
            invalidation: Arc::clone(self),
            affected,
            count,
            succeeded: false,
        };
        commit.for_each_slot(|slot| {
            slot.committing.fetch_add(1, Ordering::SeqCst);
        });
        if let (Some(count), Some(counter)) = (count, self.counter())
            && counter.begin(count).is_err()
        {
            self.invalidate(&Affected::Any);
        }
        commit
    }

    /// Invalidates the cached identities of accounts.
    pub(super) fn invalidate(&self, affected: &Affected) {
        match affected {
            Affected::None => return,
            Affected::These(accounts) => {
                let epoch = self.next();
                for account in accounts {
                    let slot = self.slot(*account);
                    slot.invalidated.fetch_max(epoch, Ordering::SeqCst);
                }
            }
            Affected::Any => {
                self.all
                    .invalidated
                    .fetch_max(self.next(), Ordering::SeqCst);
            }
        }
        self.changes.send_replace(());
    }

    /// Invalidates what other processes have changed before this call. Returns whether all changes are
    /// known. Concurrent calls share one query.
    async fn refresh(&self) -> bool {
        match &self.source {
            Source::Counter(counter) => counter.check().await,
            Source::Notifications(heartbeat) => {
                let is_trusted = heartbeat.is_trusted();
                if !is_trusted {
                    // Listeners are not woken: no change is known.
                    (self.all.invalidated).fetch_max(self.next(), Ordering::SeqCst);
                }
                is_trusted
            }
        }
    }

    fn is_unchanged_since(&self, epoch: Epoch, account: UserId) -> bool {
        // In this order: a commit lowers `committing` after it has raised `invalidated`.
        [self.slot(account), &self.all].into_iter().all(|slot| {
            slot.committing.load(Ordering::SeqCst) == 0
                && slot.invalidated.load(Ordering::SeqCst) <= epoch.0
        })
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn slot(&self, account: UserId) -> &Slot {
        let index = account.0.unsigned_abs() % SLOTS as u64;
        &self.slots[usize::try_from(index).unwrap_or(0)]
    }
}

/// A commit under way. Dropped, it invalidates the affected accounts: also when the outcome of the
/// commit is unknown.
#[derive(Debug)]
pub(super) struct Commit {
    invalidation: Arc<Invalidation>,
    affected: Affected,
    count: Option<i64>,
    succeeded: bool,
}

impl Commit {
    /// Notes that the database has committed.
    pub(super) fn succeeded(mut self) {
        self.succeeded = true;
    }

    fn for_each_slot(&self, change: impl Fn(&Slot)) {
        match &self.affected {
            Affected::None => {}
            Affected::These(accounts) => {
                for account in accounts {
                    change(self.invalidation.slot(*account));
                }
            }
            Affected::Any => change(&self.invalidation.all),
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        if let (Some(count), Some(counter)) = (self.count, self.invalidation.counter()) {
            counter.end(count, self.succeeded);
        }
        self.invalidation.invalidate(&self.affected);
        self.for_each_slot(|slot| {
            slot.committing.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Waits for changes. Several changes at once are one.
pub(crate) struct Listener(watch::Receiver<()>);

impl Listener {
    /// Waits for the next change since the listener was created, or since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is closed, so that nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    /// The present epoch. An identity that is read from the database after this call may be cached with
    /// this epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.invalidation.last.load(Ordering::SeqCst))
    }

    /// Invalidates what other processes have changed before this call. Returns whether all changes are
    /// known: if not, the cache must not be used.
    pub(crate) async fn refresh(&self) -> bool {
        self.invalidation.refresh().await
    }

    /// Whether the account has not been invalidated since `epoch`. To be asked after [`Store::refresh`].
    pub(crate) fn is_unchanged_since(&self, epoch: Epoch, account: UserId) -> bool {
        self.invalidation.is_unchanged_since(epoch, account)
    }

    /// Invalidates the cached identities of an account, whose end was found in the database.
    pub(crate) fn invalidate(&self, account: UserId) {
        self.invalidation
            .invalidate(&Affected::These(vec![account]));
    }

    /// The longest time until a change of another process is known.
    pub(crate) fn invalidation_bound(&self) -> Duration {
        match &self.invalidation.source {
            Source::Counter(_) => Duration::ZERO,
            Source::Notifications(_) => NOTIFICATION_BOUND,
        }
    }

    /// How long ago all changes of other processes were known, if a [`Listener`] is woken by changes.
    pub(crate) fn change_counter_age(&self) -> Option<Duration> {
        match &self.invalidation.source {
            Source::Counter(_) => Some(Duration::ZERO),
            Source::Notifications(heartbeat) if heartbeat.is_trusted() => heartbeat.age(),
            Source::Notifications(_) => None,
        }
    }

    /// Listens for changes from now on.
    pub(crate) fn listen(&self) -> Listener {
        let invalidation = &self.invalidation;
        let polling = invalidation.polling.lock();
        let mut polling = polling.unwrap_or_else(PoisonError::into_inner);
        let listener = Listener(invalidation.changes.subscribe());
        if !*polling {
            *polling = true;
            let invalidation = Arc::clone(invalidation);
            tokio::spawn(supervise("change poll", move || {
                poll(Arc::clone(&invalidation))
            }));
        }
        listener
    }
}

/// Looks for changes of other processes while there are listeners.
async fn poll(invalidation: Arc<Invalidation>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        {
            let polling = invalidation.polling.lock();
            let mut polling = polling.unwrap_or_else(PoisonError::into_inner);
            if invalidation.changes.receiver_count() == 0 {
                *polling = false;
                return;
            }
        }
        invalidation.refresh().await;
    }
}

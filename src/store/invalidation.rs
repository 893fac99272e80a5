//! Invalidation of cached identities, by commits of this process and of other processes on the same database.
//!
//! Every invalidation has an [`Epoch`]. A cached identity is valid if neither its user nor all users together
//! were invalidated after the epoch at which it was read from the database, and no commit that affects the user
//! is under way. The second condition is necessary because a commit is visible in the database before the
//! process that made it can record the invalidation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::background::supervise;
use crate::model::user::UserId;
use crate::store::affected_users::AffectedUsers;
use crate::store::change_counter::ChangeCounter;
use crate::store::heartbeat::Heartbeat;
use crate::store::notifications::MAX_NOTIFICATION_DELAY;

/// The interval at which changes of other processes are polled while a [`ChangeListener`] waits.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The number of slots. Users that share a slot are invalidated together.
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

/// The source of the changes of other processes.
#[derive(Debug)]
pub(super) enum Source {
    /// A counter in the SQLite database.
    Counter(ChangeCounter),
    /// Notifications of PostgreSQL. The heartbeat confirms that they arrive.
    Notifications(Arc<Heartbeat>),
}

impl Invalidation {
    pub(super) fn new(source: Source) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            all: Slot::default(),
            source,
            changes: watch::Sender::new(()),
            polling: Mutex::new(false),
        })
    }

    /// Returns the counter of SQLite.
    pub(super) fn counter(&self) -> Option<&ChangeCounter> {
        match &self.source {
            Source::Counter(counter) => Some(counter),
            Source::Notifications(_) => None,
        }
    }

    /// See [`Store::epoch`](crate::store::Store::epoch).
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.last.load(Ordering::SeqCst))
    }

    /// Invalidates the cached identities of users.
    pub(super) fn invalidate(&self, users: &AffectedUsers) {
        if !matches!(users, AffectedUsers::None) {
            let epoch = self.next_epoch();
            self.for_each_slot(users, |slot| {
                slot.invalidated.fetch_max(epoch, Ordering::SeqCst);
            });
            self.changes.send_replace(());
        }
    }

    /// See [`Store::refresh`](crate::store::Store::refresh). Concurrent calls share one query.
    pub(super) async fn refresh(&self) -> bool {
        match &self.source {
            Source::Counter(counter) => counter.check().await,
            Source::Notifications(heartbeat) => {
                let is_trusted = heartbeat.is_trusted();
                if !is_trusted {
                    // Listeners are not woken: no change is known.
                    let epoch = self.next_epoch();
                    self.all.invalidated.fetch_max(epoch, Ordering::SeqCst);
                }
                is_trusted
            }
        }
    }

    /// See [`Store::is_unchanged_since`](crate::store::Store::is_unchanged_since).
    pub(super) fn is_unchanged_since(&self, epoch: Epoch, user: UserId) -> bool {
        // In this order: a commit raises `invalidated` before it lowers `committing`.
        [self.slot(user), &self.all].into_iter().all(|slot| {
            slot.committing.load(Ordering::SeqCst) == 0
                && slot.invalidated.load(Ordering::SeqCst) <= epoch.0
        })
    }

    /// Returns the longest time until a change of another process is known.
    pub(super) fn bound(&self) -> Duration {
        match &self.source {
            Source::Counter(_) => Duration::ZERO,
            Source::Notifications(_) => MAX_NOTIFICATION_DELAY,
        }
    }

    /// See [`Store::invalidation_age`](crate::store::Store::invalidation_age).
    pub(super) fn age(&self) -> Option<Duration> {
        match &self.source {
            Source::Counter(_) => Some(Duration::ZERO),
            Source::Notifications(heartbeat) if heartbeat.is_trusted() => heartbeat.age(),
            Source::Notifications(_) => None,
        }
    }

    /// Subscribes to all changes from now on.
    pub(super) fn listen(self: &Arc<Self>) -> ChangeListener {
        let mut polling = lock(&self.polling);
        let listener = ChangeListener(self.changes.subscribe());
        if !*polling {
            *polling = true;
            let invalidation = Arc::clone(self);
            tokio::spawn(supervise("change poll", move || {
                poll(Arc::clone(&invalidation))
            }));
        }
        listener
    }

    fn next_epoch(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn slot(&self, user: UserId) -> &Slot {
        let index = user.0.unsigned_abs() % SLOTS as u64;
        &self.slots[usize::try_from(index).unwrap_or(0)]
    }

    fn for_each_slot(&self, users: &AffectedUsers, change: impl Fn(&Slot)) {
        match users {
            AffectedUsers::None => {}
            AffectedUsers::Some(users) => users.iter().for_each(|user| change(self.slot(*user))),
            AffectedUsers::All => change(&self.all),
        }
    }
}

/// The users that a transaction affects. Their cached identities are invalidated when this is dropped.
///
/// This includes transactions whose commit has an unknown outcome, and those that were rolled back: they may
/// have read a change of another process that the cache does not know yet.
pub(super) struct PendingInvalidation {
    invalidation: Arc<Invalidation>,
    users: Mutex<AffectedUsers>,
    commit: Option<Commit>,
}

/// A commit under way.
struct Commit {
    /// The value that the transaction gave the change counter.
    count: Option<i64>,
    succeeded: bool,
}

impl PendingInvalidation {
    pub(super) fn new(invalidation: &Arc<Invalidation>) -> Self {
        Self {
            invalidation: Arc::clone(invalidation),
            users: Mutex::default(),
            commit: None,
        }
    }

    /// Returns the affected users.
    pub(super) fn users(&self) -> MutexGuard<'_, AffectedUsers> {
        lock(&self.users)
    }

    /// Invalidates the cached identities of a user at once.
    pub(super) fn invalidate_now(&self, user: UserId) {
        let users = AffectedUsers::Some(vec![user]);
        self.invalidation.invalidate(&users);
    }

    /// Marks the affected users as changing until this is dropped. `count` is the value that the transaction
    /// gave the change counter.
    pub(super) fn begin_commit(&mut self, count: Option<i64>) {
        self.commit = Some(Commit {
            count,
            succeeded: false,
        });
        self.invalidation.for_each_slot(&self.users(), |slot| {
            slot.committing.fetch_add(1, Ordering::SeqCst);
        });
        if let (Some(count), Some(counter)) = (count, self.invalidation.counter())
            && !counter.begin_commit(count)
        {
            self.invalidation.invalidate(&AffectedUsers::All);
        }
    }

    /// Records that the database has committed.
    pub(super) fn commit_succeeded(mut self) {
        if let Some(commit) = &mut self.commit {
            commit.succeeded = true;
        }
    }
}

impl Drop for PendingInvalidation {
    fn drop(&mut self) {
        let users = self.users();
        if let Some(commit) = &self.commit
            && let (Some(count), Some(counter)) = (commit.count, self.invalidation.counter())
        {
            counter.end_commit(count, commit.succeeded);
        }
        self.invalidation.invalidate(&users);
        if self.commit.is_some() {
            self.invalidation.for_each_slot(&users, |slot| {
                slot.committing.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
}

/// Waits for changes. Changes between two calls are reported once.
pub(crate) struct ChangeListener(watch::Receiver<()>);

impl ChangeListener {
    /// Waits for the next change since the listener was created, or since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is closed, so there are no further changes.
            std::future::pending::<()>().await;
        }
    }
}

/// Polls for changes of other processes while there are listeners.
async fn poll(invalidation: Arc<Invalidation>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        {
            let mut polling = lock(&invalidation.polling);
            if invalidation.changes.receiver_count() == 0 {
                *polling = false;
                return;
            }
        }
        invalidation.refresh().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

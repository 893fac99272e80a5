//! Invalidation of cached identities by commits of this process and of other processes that use the database.
//!
//! Every invalidation has an [`Epoch`] and affects some users or all users. A cached identity stores the epoch at
//! which it was read from the database. The identity is valid if no later invalidation affected its user, and if no
//! commit that affects the user is in progress. The second condition is necessary because a commit is visible in the
//! database before its process records the invalidation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::model::user::UserId;
use crate::store::affected_users::AffectedUsers;
use crate::store::change_counter::{ChangeCounter, lock};
use crate::store::heartbeat::Heartbeat;
use crate::store::notifications::MAX_NOTIFICATION_DELAY;
use crate::supervised_tasks::supervise;

/// The interval at which changes of other processes are polled while a [`ChangeListener`] waits.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The number of slots to which users are assigned. Users in one slot are invalidated together.
const SLOTS: usize = 4096;

/// A point in the order of invalidations in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// The invalidations of the users in one slot.
#[derive(Debug, Default)]
struct Slot {
    /// The epoch of the last invalidation.
    invalidated: AtomicU64,
    /// The number of commits in progress that affect users in the slot.
    committing: AtomicU32,
}

/// The record of all invalidations of cached identities.
#[derive(Debug)]
pub(super) struct Invalidation {
    /// The epoch of the last invalidation.
    last: AtomicU64,
    slots: Box<[Slot]>,
    all: Slot,
    source: Source,
    changes: watch::Sender<()>,
    /// Whether a task polls for changes by other processes.
    polling: Mutex<bool>,
}

/// The way in which changes by other processes become known.
#[derive(Debug)]
pub(super) enum Source {
    /// A counter in the SQLite database.
    Counter(ChangeCounter),
    /// PostgreSQL notifications. The heartbeat confirms that notifications arrive.
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

    /// Returns the change counter, or `None` for PostgreSQL.
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

    /// See [`Store::refresh_invalidation`](crate::store::Store::refresh_invalidation). Concurrent calls share one
    /// query.
    pub(super) async fn refresh(&self) -> bool {
        match &self.source {
            Source::Counter(counter) => counter.check().await,
            Source::Notifications(heartbeat) => {
                let is_trusted = heartbeat.permits_cache();
                if !is_trusted {
                    // Listeners are not woken, because no change is known.
                    let epoch = self.next_epoch();
                    self.all.invalidated.fetch_max(epoch, Ordering::SeqCst);
                }
                is_trusted
            }
        }
    }

    /// See [`Store::is_unchanged_since`](crate::store::Store::is_unchanged_since).
    pub(super) fn is_unchanged_since(&self, epoch: Epoch, user: UserId) -> bool {
        // `committing` is read first, because a commit raises `invalidated` before it lowers `committing`.
        [self.slot(user), &self.all].into_iter().all(|slot| {
            slot.committing.load(Ordering::SeqCst) == 0
                && slot.invalidated.load(Ordering::SeqCst) <= epoch.0
        })
    }

    /// Invalidates the cached identities of a user.
    pub(super) fn invalidate_user(&self, user: UserId) {
        self.invalidate(&AffectedUsers::Some(vec![user]));
    }

    /// Returns the maximum time until a change by another process is known.
    pub(super) fn max_delay(&self) -> Duration {
        match &self.source {
            Source::Counter(_) => Duration::ZERO,
            Source::Notifications(_) => MAX_NOTIFICATION_DELAY,
        }
    }

    /// See [`Store::invalidation_age`](crate::store::Store::invalidation_age).
    pub(super) fn age(&self) -> Option<Duration> {
        match &self.source {
            Source::Counter(_) => Some(Duration::ZERO),
            Source::Notifications(heartbeat) if heartbeat.permits_cache() => heartbeat.age(),
            Source::Notifications(_) => None,
        }
    }

    /// Returns a listener for all changes from now on. Starts the task that polls for changes by other processes,
    /// unless it is running.
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

/// The users that a transaction affects. When this value is dropped, the cached identities of these users are
/// invalidated.
///
/// The identities are invalidated even if the transaction was rolled back or the outcome of the commit is unknown.
/// This is necessary because the transaction may have read a change by another process of which this process has
/// not been notified yet.
pub(super) struct PendingInvalidation {
    invalidation: Arc<Invalidation>,
    users: Mutex<AffectedUsers>,
    commit: Option<Commit>,
}

/// A commit in progress.
struct Commit {
    /// The value that the transaction wrote to the change counter, or `None` if it wrote no value.
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

    /// Invalidates the cached identities of a user immediately.
    pub(super) fn invalidate_now(&self, user: UserId) {
        self.invalidation.invalidate_user(user);
    }

    /// Marks the affected users as changing until this value is dropped. `count` is the value that the transaction
    /// wrote to the change counter.
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

    /// Records that the commit has succeeded.
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

/// A listener that waits for changes. Several changes between two calls are reported as one.
pub(crate) struct ChangeListener(watch::Receiver<()>);

impl ChangeListener {
    /// Waits until there has been a change since the last call or, at the first call, since the listener was created.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is closed, so there are no further changes.
            std::future::pending::<()>().await;
        }
    }
}

/// Polls for changes by other processes while there are listeners.
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

//! The change counter, through which a process notices changes that other processes make to an SQLite database.
//!
//! Each transaction that invalidates cached identities increments a counter in the database. The new value becomes
//! visible with the commit. Therefore, the change is announced even if the process is killed immediately after the
//! commit. The counter also works if processes open the database through different paths.
//!
//! The counter is read before a cached identity is used. A read takes 16 µs, of which the switch to the thread of the
//! connection takes 10 µs. Concurrent requests share one read.
//!
//! `PRAGMA data_version` would not be a suitable counter. Its value also changes with the commits of this process, so
//! each sign-in would invalidate the whole cache. A read of `data_version` takes as long as a read of the counter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_scalar};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::store::sqlite::DatabaseFiles;

const READ: &str = "SELECT value FROM symbolon_change_counter WHERE id = 1";

/// Increments the counter, as part of a transaction, and returns the new value.
pub(super) const INCREMENT: &str =
    "UPDATE symbolon_change_counter SET value = value + 1 WHERE id = 1 RETURNING value";

/// The maximum number of checks that are received at once.
const MAX_CHECKS: usize = 1024;

/// The sender of the answer to a check. The answer is `true` if all changes have been processed.
type Check = oneshot::Sender<bool>;

/// A handle to the change counter of a database.
#[derive(Debug)]
pub(super) struct ChangeCounter {
    checks: mpsc::UnboundedSender<Check>,
    /// Stops the reader when the sender is dropped.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The value up to which all changes have been processed.
    value: i64,
    /// The value that a transaction of this process has written, while the commit is in progress. SQLite has one
    /// writer at a time, so there is at most one such value.
    committing: Option<i64>,
    /// The number of changes of `value`. If `value` changes during a read of the counter, the read must be repeated.
    version: u64,
}

/// The reader of the counter, which answers the checks of a [`ChangeCounter`].
pub(super) struct Reader {
    files: DatabaseFiles,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    checks: mpsc::UnboundedReceiver<Check>,
    stopped: oneshot::Receiver<()>,
    known: Arc<Mutex<Known>>,
}

impl ChangeCounter {
    /// Opens a connection and reads the current value. The caller must run [`Reader::run`] in a task.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        files: DatabaseFiles,
    ) -> Result<(Self, Reader), Error> {
        let mut connection = options.connect().await?;
        let known = Known {
            value: read(&mut connection).await?,
            ..Known::default()
        };
        let known = Arc::new(Mutex::new(known));
        let (sender, checks) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let reader = Reader {
            files,
            options,
            connection: Some(connection),
            checks,
            stopped,
            known: Arc::clone(&known),
        };
        let counter = Self {
            checks: sender,
            stop: Mutex::new(Some(stop)),
            known,
        };
        Ok((counter, reader))
    }

    /// Stops the reader, which then closes its connection.
    pub(super) fn stop(&self) {
        lock(&self.stop).take();
    }

    /// Reads the counter. Concurrent calls share a read, but never a read that began before the call.
    ///
    /// Returns `true` if all changes up to the value of the counter have been processed, either earlier or by a call
    /// of `on_change` after this read. If the result is `false`, the cache must not be used.
    pub(super) async fn check(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.checks.send(answer).is_ok() && answered.await.unwrap_or(false)
    }

    /// Records the value that a transaction has written, before the transaction is committed. Returns `false` if the
    /// value does not follow the known value, because another process has committed a change since the known value
    /// was read.
    pub(super) fn begin_commit(&self, count: i64) -> bool {
        let mut known = lock(&self.known);
        known.committing = Some(count);
        count == known.value.wrapping_add(1)
    }

    /// Records the outcome of the commit that wrote `count`. If the outcome is unknown, a later read of `count` is
    /// treated as a change by another process.
    pub(super) fn end_commit(&self, count: i64, succeeded: bool) {
        let mut known = lock(&self.known);
        known.committing = None;
        if succeeded {
            known.value = count;
            known.version += 1;
        }
    }
}

impl Reader {
    /// Answers checks until the counter is stopped. One read answers all pending checks. Calls `on_change` if another
    /// process has made a change, or if the counter cannot be read.
    pub(super) async fn run(&mut self, on_change: impl Fn() + Send) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stopped => break,
                _ = self.checks.recv_many(&mut waiting, MAX_CHECKS) => {}
            }
            // Lets other requests that are ready to run send their checks, so that one read answers all of these
            // checks.
            yield_now().await;
            while let Ok(check) = self.checks.try_recv() {
                waiting.push(check);
            }
            let is_known = self.check_counter(&on_change).await;
            for check in waiting.drain(..) {
                let _ = check.send(is_known);
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    async fn check_counter(&mut self, on_change: &(impl Fn() + Send)) -> bool {
        loop {
            // If a file was replaced, other processes write to the new file, and this counter does not show their
            // changes.
            if self.files.find_replaced().is_some() {
                return false;
            }
            let version = lock(&self.known).version;
            let read = self.read().await;
            let mut known = lock(&self.known);
            match read {
                Ok(value) if value == known.value => return true,
                // Either a commit of this process is already visible but has not returned yet, or that commit has
                // failed and another process has written the same value.
                Ok(value) if Some(value) == known.committing => return false,
                // A commit of this process has ended between the read and the comparison, so the read is repeated.
                Ok(_) if known.version != version => {}
                Ok(value) => {
                    // The cache is invalidated before the new value is recorded, so that no check succeeds too early.
                    on_change();
                    known.value = value;
                    known.version += 1;
                    return true;
                }
                // The error is not reported here. The request then reads the database instead of the cache, and
                // reports the error.
                Err(_) => {
                    self.connection = None;
                    on_change();
                    return false;
                }
            }
        }
    }

    async fn read(&mut self) -> Result<i64, Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        read(connection).await
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<i64, Error> {
    query_scalar(READ).fetch_one(connection).await
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

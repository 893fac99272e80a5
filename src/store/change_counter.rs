//! The change counter, through which processes notice the changes that other processes make to a SQLite database.
//!
//! Each transaction that invalidates cached identities increments a counter in the database. The counter changes
//! with the commit itself. So a process that is killed after its commit has announced the change, and the path
//! by which another process opened the file does not matter. The counter is read before a cached identity is
//! used. A read takes 16 µs, of which the switch to the thread of its connection takes 10. Concurrent requests
//! share one read.
//!
//! `PRAGMA data_version` takes as long, but it also changes with the commits of this process, which would
//! invalidate the whole cache with each sign-in.

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

/// The number of checks that one read answers at most.
const MAX_CHECKS: usize = 1024;

/// A check that waits for the result of a read: whether all changes are known.
type Check = oneshot::Sender<bool>;

/// The change counter.
#[derive(Debug)]
pub(super) struct ChangeCounter {
    checks: mpsc::UnboundedSender<Check>,
    /// Ends the reader when it is dropped.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The value up to which all changes are known.
    value: i64,
    /// The value that a transaction of this process has written, until its commit has ended. SQLite has one
    /// writer at a time, so there is one value at most.
    committing: Option<i64>,
    /// The number of changes of `value`. A read that began before a change must be repeated.
    version: u64,
}

/// Reads the counter for the checks of a [`ChangeCounter`].
pub(super) struct Reader {
    files: DatabaseFiles,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    checks: mpsc::UnboundedReceiver<Check>,
    stopped: oneshot::Receiver<()>,
    known: Arc<Mutex<Known>>,
}

impl ChangeCounter {
    /// Opens a connection and reads the current value. The reader must run [`Reader::run`].
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

    /// Makes the reader close its connection and end.
    pub(super) fn stop(&self) {
        lock(&self.stop).take();
    }

    /// Reads the counter, by a read that begins after this call. Returns whether all changes up to its value are
    /// known, either from an earlier read or because the reader has called `on_change`. If not, the cache must
    /// not be used.
    pub(super) async fn check(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.checks.send(answer).is_ok() && answered.await.unwrap_or(false)
    }

    /// Records, before the commit, the value that a transaction has written. Returns whether it follows the known
    /// value. If not, another process has committed in between.
    pub(super) fn begin_commit(&self, count: i64) -> bool {
        let mut known = lock(&self.known);
        known.committing = Some(count);
        count == known.value.wrapping_add(1)
    }

    /// Records the outcome of the commit that wrote `count`. If the outcome is unknown, `count` is treated as a change
    /// of another process.
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
    /// Answers checks until the counter is stopped. One read answers all checks that wait. Calls `on_change` if
    /// another process has made a change or the counter cannot be read.
    pub(super) async fn run(&mut self, on_change: impl Fn() + Send) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stopped => break,
                _ = self.checks.recv_many(&mut waiting, MAX_CHECKS) => {}
            }
            // Lets the other requests that are ready send their checks, so that one read answers them all.
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
            // Other processes write to other files if a file was replaced.
            if self.files.find_replaced().is_some() {
                return false;
            }
            let version = lock(&self.known).version;
            let read = self.read().await;
            let mut known = lock(&self.known);
            match read {
                Ok(value) if value == known.value => return true,
                // Either the commit of this process is visible but has not returned yet, or it has failed and
                // another process has written the same value.
                Ok(value) if Some(value) == known.committing => return false,
                // A commit of this process has ended between the read and the comparison.
                Ok(_) if known.version != version => {}
                Ok(value) => {
                    // Invalidates before the new value is recorded, so that no check succeeds in between.
                    on_change();
                    known.value = value;
                    known.version += 1;
                    return true;
                }
                // The request that reads the database instead reports the error.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

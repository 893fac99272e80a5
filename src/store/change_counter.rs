//! Notices the changes that other processes make to a SQLite database.
//!
//! Each transaction that invalidates cached identities increments a counter in the database, so the
//! counter changes with the commit itself: a process that is killed after its commit has announced it, and
//! the path by which another process opened the file does not matter. Before a cached identity is used
//! the counter is read. A read takes some 16 µs, of which 10 are the switch to the thread of its connection,
//! and concurrent requests share it.
//!
//! `PRAGMA data_version` takes as long, but it also changes with the commits of this process, which
//! would invalidate the whole cache with each sign-in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, query_scalar};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::store::sqlite_files::Files;

const READ: &str = "SELECT value FROM symbolon_change_counter WHERE id = 1";

/// Increments the counter, as part of a transaction, and returns the new value.
pub(super) const INCREMENT: &str =
    "UPDATE symbolon_change_counter SET value = value + 1 WHERE id = 1 RETURNING value";

/// The most checks that one read answers.
const BATCH: usize = 1024;

/// Another process may have changed something.
#[derive(Debug)]
pub(super) struct MayHaveChanged;

/// Whether the counter has the known value.
type Check = oneshot::Sender<bool>;

/// The counter as this process knows it.
#[derive(Debug)]
pub(super) struct ChangeCounter {
    checks: mpsc::UnboundedSender<Check>,
    /// Dropped when the reader is to end.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The value up to which all changes are known.
    value: i64,
    /// The value that a transaction of this process has written, until its commit has ended. SQLite has
    /// one writer at a time, so there is one such value.
    own: Option<i64>,
    /// How often `value` has changed. A read that began before a change must be repeated.
    version: u64,
}

/// Reads the counter for the checks of a [`ChangeCounter`].
pub(super) struct Reader {
    files: Files,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    checks: mpsc::UnboundedReceiver<Check>,
    stopped: oneshot::Receiver<()>,
    known: Arc<Mutex<Known>>,
}

impl ChangeCounter {
    /// Starts with the present value.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        files: Files,
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

    /// Lets the reader close its connection and end.
    pub(super) fn stop(&self) {
        lock(&self.stop).take();
    }

    /// Reads the counter, by a read that begins after this call. Returns whether all changes up to its
    /// value are known: found before, or passed to the reader's `on_change` by now. If not, the cache must
    /// not be used.
    pub(super) async fn check(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.checks.send(answer).is_ok() && answered.await.unwrap_or(false)
    }

    /// Notes, before the commit, the value that a transaction has written. Fails if another process has
    /// written the value before.
    pub(super) fn begin(&self, count: i64) -> Result<(), MayHaveChanged> {
        let mut known = lock(&self.known);
        known.own = Some(count);
        if count == known.value.wrapping_add(1) {
            Ok(())
        } else {
            Err(MayHaveChanged)
        }
    }

    /// Notes how the commit of that value ended. After an unknown outcome the value counts as one of
    /// another process.
    pub(super) fn end(&self, count: i64, succeeded: bool) {
        let mut known = lock(&self.known);
        known.own = None;
        if succeeded {
            known.value = count;
            known.version += 1;
        }
    }
}

impl Reader {
    /// Answers checks, all that are waiting with one read, and calls `on_change` when another process
    /// has changed something or the counter cannot be read.
    pub(super) async fn serve(&mut self, on_change: impl Fn() + Send) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stopped => break,
                _ = self.checks.recv_many(&mut waiting, BATCH) => {}
            }
            // Lets the other requests that can run now ask for a check, so that one read serves them all.
            yield_now().await;
            while let Ok(check) = self.checks.try_recv() {
                waiting.push(check);
            }
            let is_known = self.compare(&on_change).await;
            for check in waiting.drain(..) {
                let _ = check.send(is_known);
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    async fn compare(&mut self, on_change: &(impl Fn() + Send)) -> bool {
        loop {
            // Changes of other processes are in other files, then.
            if self.files.lost().is_some() {
                return false;
            }
            let version = lock(&self.known).version;
            let read = self.read().await;
            let mut known = lock(&self.known);
            match read {
                Ok(value) if value == known.value => return true,
                // Either the commit of this process is visible and has not ended here, or it has failed and
                // another process has written the same value.
                Ok(value) if Some(value) == known.own => return false,
                // Read before a commit of this process, and compared after it.
                Ok(_) if known.version != version => {}
                Ok(value) => {
                    // First, or a check in between would find nothing.
                    on_change();
                    known.value = value;
                    known.version += 1;
                    return true;
                }
                // The request that then asks the database reports what is wrong.
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

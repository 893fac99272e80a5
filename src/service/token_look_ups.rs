//! Looks up tokens in the database. One statement looks up the tokens of all requests that wait at the same time, because
//! a statement costs more than its rows: SQLite executes it on the thread of a connection.
//!
//! Processor time of a `me` whose identity is not cached, with a statement for each request and with shared statements
//! (medians of 8 rounds on one core of a busy machine), and the number of waits for another thread:
//!
//! | connections | own statement | shared statement | waits |
//! |---:|---:|---:|---:|
//! | 1 | 143.9 µs | 145.4 µs | 2.9 → 2.8 |
//! | 2 | 122.9 µs | 123.8 µs | 2.2 → 2.2 |
//! | 8 | 98.6 µs | 78.4 µs | 2.2 → 1.1 |
//! | 64 | 82.0 µs | 42.3 µs | 2.1 → 0.3 |
//!
//! The time limit of the wait ([`RESTART_INTERVAL`]) was added after this measurement. It costs 2 µs with 64 connections.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::error::Error;
use crate::model::token_digest::TokenDigest;
use crate::model::user::User;
use crate::store::{FoundTokens, Store};

/// The maximum number of tokens that one statement looks up.
const MAX_TOKENS: usize = 256;

/// Looks up the tokens with these digests.
type Read<T> =
    fn(Arc<Store>, Vec<TokenDigest>) -> BoxFuture<'static, Result<FoundTokens<T>, Error>>;

/// The time after which a look-up that has no result starts a task for all look-ups that wait.
const RESTART_INTERVAL: Duration = Duration::from_millis(100);

/// A look-up that waits, and the sender of its result.
type Waiting<T> = (
    TokenDigest,
    oneshot::Sender<Result<Option<(User, T)>, Error>>,
);

/// The receiver of the result of a look-up.
type Answer<T> = oneshot::Receiver<Result<Option<(User, T)>, Error>>;

/// The look-ups of one type of tokens.
pub(crate) struct TokenLookUps<T> {
    store: Arc<Store>,
    read: Read<T>,
    next: Mutex<Batch<T>>,
    /// Each look-up that runs has a clone, so that the number of clones is the number of running look-ups.
    running: Arc<()>,
}

/// The look-ups for which no statement has been started. If there are two or more, a task will start the statement.
struct Batch<T> {
    /// Increases whenever look-ups are taken from the batch.
    number: u64,
    waiting: Vec<Waiting<T>>,
    /// Whether look-ups have run at the same time recently. If not, a look-up does not wait for others: the wait would cost
    /// a single connection 8 µs for each request.
    expects_others: bool,
}

impl<T> Batch<T> {
    fn take(&mut self) -> Vec<Waiting<T>> {
        self.number += 1;
        let count = self.waiting.len().min(MAX_TOKENS);
        self.waiting.drain(..count).collect()
    }
}

impl<T: Clone + Send + Sync + 'static> TokenLookUps<T> {
    pub(crate) fn new(store: Arc<Store>, read: Read<T>) -> Arc<Self> {
        Arc::new(Self {
            store,
            read,
            next: Mutex::new(Batch {
                number: 0,
                waiting: Vec::new(),
                expects_others: false,
            }),
            running: Arc::new(()),
        })
    }

    /// Returns the token with this digest, and its user. The statement that reads them starts after this call, so that the
    /// result contains all changes that were acknowledged before.
    pub(super) async fn find(
        self: &Arc<Self>,
        digest: TokenDigest,
    ) -> Result<Option<(User, T)>, Error> {
        let running = Arc::clone(&self.running);
        let is_alone = Arc::strong_count(&running) == 2;
        let (answer, answered) = oneshot::channel();
        let joined = {
            let mut next = self.lock();
            next.expects_others |= !is_alone;
            next.expects_others.then(|| {
                next.waiting.push((digest, answer));
                (next.number, next.waiting.len())
            })
        };
        match joined {
            None => return self.read_one(digest).await,
            Some((number, 1)) if self.leave_if_alone(number).await => {
                return self.read_one(digest).await;
            }
            // The second look-up starts the task, because the future of the first one may have been dropped, or its
            // caller may not poll it.
            Some((_, 2)) => self.start(),
            Some(_) => {}
        }
        self.wait(digest, answered).await
    }

    /// Waits for the result of a look-up in the batch.
    async fn wait(
        self: &Arc<Self>,
        digest: TokenDigest,
        mut answered: Answer<T>,
    ) -> Result<Option<(User, T)>, Error> {
        loop {
            match timeout(RESTART_INTERVAL, &mut answered).await {
                Ok(Ok(answer)) => return answer,
                // The task has panicked, or its runtime has ended.
                Ok(Err(_)) => return self.read_one(digest).await,
                // An application can have several runtimes, and the one of the task may have ended before it ran the task, or
                // may run nothing at the moment. If the task has taken the batch, a further task does no harm.
                Err(_) => self.start(),
            }
        }
    }

    async fn read_one(&self, digest: TokenDigest) -> Result<Option<(User, T)>, Error> {
        let mut found = (self.read)(Arc::clone(&self.store), vec![digest]).await?;
        found.remove(&digest).transpose()
    }

    /// Lets other requests that are ready to run add their look-ups. If they add none, takes the only look-up from the
    /// batch and returns `true`.
    async fn leave_if_alone(&self, number: u64) -> bool {
        // `run_to_completion` polls this future again at once, in a new task, which ends the first wait.
        yield_now().await;
        yield_now().await;
        let mut next = self.lock();
        let is_alone = next.number == number && next.waiting.len() == 1;
        if is_alone {
            next.take();
            next.expects_others = false;
        }
        is_alone
    }

    /// Starts a task that answers the waiting look-ups. The requests cannot cancel it.
    fn start(self: &Arc<Self>) {
        let look_ups = Arc::clone(self);
        tokio::spawn(async move {
            yield_now().await;
            look_ups.answer_waiting().await;
        });
    }

    async fn answer_waiting(self: &Arc<Self>) {
        let waiting = {
            let mut next = self.lock();
            let waiting = next.take();
            if !next.waiting.is_empty() {
                self.start();
            }
            waiting
        };
        if waiting.is_empty() {
            return;
        }
        let digests = waiting.iter().map(|(digest, _)| *digest).collect();
        let found = (self.read)(Arc::clone(&self.store), digests).await;
        for (digest, answer) in waiting {
            let found = match &found {
                Ok(tokens) => tokens.get(&digest).cloned().transpose(),
                Err(error) => Err(error.clone()),
            };
            // The request may have been cancelled.
            let _ = answer.send(found);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Batch<T>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for TokenLookUps<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenLookUps")
    }
}

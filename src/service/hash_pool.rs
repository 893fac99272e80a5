//! The threads that hash passwords.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use argon2::Block;
use tokio::sync::{Semaphore, oneshot};

use crate::error::Error;

/// A fixed number of threads behind a bounded queue. Each thread keeps one buffer for all its jobs,
/// so that memory is bounded by the threads and not by who asks, and a client that hangs up frees
/// no place before its job is done.
#[derive(Debug)]
pub(super) struct HashPool {
    queue: Sender<Job>,
    /// One permit for each job that is under way or waits.
    permits: Arc<Semaphore>,
}

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

impl HashPool {
    /// Starts the threads. `queue` jobs may wait beside those under way. A buffer that a job grew
    /// beyond `blocks` is given back after it.
    pub(super) fn start(threads: NonZeroUsize, queue: usize, blocks: usize) -> io::Result<Self> {
        let permits = threads.get().saturating_add(queue);
        let permits = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || work(&jobs, blocks))?;
        }
        Ok(Self {
            queue: sender,
            permits,
        })
    }

    /// Runs `job` on one of the threads; refuses at once when the queue is full.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Error::ServiceUnavailable { retry_after: 1 })?;
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            let done = job(memory);
            // Whoever has the answer may ask again at once.
            drop(permit);
            // Fails only when nobody waits for the answer any more.
            let _ = answer.send(done);
        });
        self.queue
            .send(job)
            .map_err(|_| Error::internal("the hashing threads ended"))?;
        result.await.map_err(Error::internal)
    }
}

/// Takes jobs until the pool is dropped.
fn work(jobs: &Mutex<Receiver<Job>>, blocks: usize) {
    let mut memory = Vec::new();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A job that panics drops its answer; whoever waits for it gets an internal error.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
        if memory.len() > blocks {
            memory.truncate(blocks);
            memory.shrink_to_fit();
        }
    }
}

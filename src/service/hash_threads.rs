//! The threads that run the jobs of the hash queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use argon2::Block;

/// The niceness of the hashing threads. Request threads preempt hashing threads almost immediately. On a fully
/// loaded processor, a hashing thread still gets about a thirtieth of the time.
const NICENESS: i32 = 15;

pub(super) type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// The memory that a job needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The buffer that the thread reuses.
    Usual,
    /// A larger buffer, which is freed after the job.
    Large,
}

/// Runs jobs until the queue is dropped.
pub(super) fn run_jobs(jobs: &Mutex<Receiver<Job>>, memory: Memory) {
    // On other systems, `nice` would change the priority of the whole process.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "a hashing thread keeps its priority");
    }
    let mut buffer = Vec::new();
    loop {
        // The mutex is unlocked before the job runs.
        let receiver = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(job) = receiver.recv() else { return };
        drop(receiver);
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut buffer)));
        if memory == Memory::Large {
            buffer = Vec::new();
        }
    }
}

//! The threads that hash passwords.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use argon2::Block;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::error::Error;

/// Not now, but soon.
const BUSY: Error = Error::ServiceUnavailable { retry_after: 1 };

/// A fixed number of threads behind a bounded queue. Each thread keeps one buffer for all its jobs,
/// so that memory is bounded by the threads and not by who asks, and a client that hangs up frees
/// no place before its job is done.
///
/// Jobs that need more than such a buffer are for one thread beside the others, which keeps nothing:
/// there is only one of them at a time, and none of them keeps the others from their work.
#[derive(Debug)]
pub(super) struct HashPool {
    queues: Queues,
    /// One permit for each place.
    permits: Arc<Semaphore>,
    wait: Duration,
}

#[derive(Clone, Debug)]
struct Queues {
    usual: Sender<Job>,
    large: Sender<Job>,
}

/// Which memory a job works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The buffer that its thread keeps.
    Usual,
    /// More than that, given back at its end.
    Large,
}

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

impl HashPool {
    /// Starts the threads. `queue` jobs may wait beside as many as there are `threads`, none of them
    /// longer than `wait`.
    pub(super) fn start(threads: NonZeroUsize, queue: usize, wait: Duration) -> io::Result<Self> {
        let permits = threads.get().saturating_add(queue);
        let permits = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let (usual, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            let name = format!("hash-{number}");
            spawn(name, move || work(&jobs, Memory::Usual))?;
        }
        let (large, jobs) = channel();
        let work = move || work(&Mutex::new(jobs), Memory::Large);
        spawn("hash-large".to_owned(), work)?;
        Ok(Self {
            queues: Queues { usual, large },
            permits,
            wait,
        })
    }

    /// Takes a place for jobs to come; refuses at once when none is free.
    pub(super) fn reserve(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        Ok(Place {
            permit: Some(permit.map_err(|_| BUSY)?),
            queues: self.queues.clone(),
            wait: self.wait,
        })
    }
}

/// A place in the pool, for one job after the other. It is free again once it is dropped and its
/// last job is over.
#[derive(Debug)]
pub(super) struct Place {
    /// Goes with a job and comes back with its answer.
    permit: Option<OwnedSemaphorePermit>,
    queues: Queues,
    wait: Duration,
}

impl Place {
    /// Runs `job` on one of the threads. One that none of them has come to in time is given up.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        memory: Memory,
        job: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        // A job that was given up has it still.
        let permit = self.permit.take().ok_or(BUSY)?;
        let (start, started) = oneshot::channel();
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Fails when nobody waits any more, neither for this nor for the answer.
            if start.send(()).is_ok() {
                let _ = answer.send((job(memory), permit));
            }
        });
        let queue = match memory {
            Memory::Usual => &self.queues.usual,
            Memory::Large => &self.queues.large,
        };
        queue
            .send(job)
            .map_err(|_| Error::internal("the hashing threads ended"))?;
        let started = timeout(self.wait, started).await.map_err(|_| BUSY)?;
        started.map_err(Error::internal)?;
        let (done, permit) = result.await.map_err(Error::internal)?;
        self.permit = Some(permit);
        Ok(done)
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(work)?;
    Ok(())
}

/// Takes jobs until the pool is dropped.
fn work(jobs: &Mutex<Receiver<Job>>, memory: Memory) {
    let mut buffer = Vec::new();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A job that panics drops its answer; whoever waits for it gets an internal error.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut buffer)));
        if memory == Memory::Large {
            buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for an idle thread to wake up on a busy machine.
    const SHORT: Duration = Duration::from_millis(500);

    fn pool(queue: usize, wait: Duration) -> HashPool {
        HashPool::start(NonZeroUsize::MIN, queue, wait).unwrap()
    }

    /// Keeps a thread busy until the sender is dropped.
    async fn occupy(pool: &HashPool, memory: Memory) -> Sender<()> {
        let mut place = pool.reserve().unwrap();
        let (release, released) = channel::<()>();
        let (start, started) = oneshot::channel();
        tokio::spawn(async move {
            let job = move |_: &mut Vec<Block>| {
                start.send(()).unwrap();
                let _ = released.recv();
            };
            place.run(memory, job).await
        });
        started.await.unwrap();
        release
    }

    fn is_busy<T>(result: &Result<T, Error>) -> bool {
        matches!(result, Err(Error::ServiceUnavailable { retry_after: 1 }))
    }

    async fn until_free(pool: &HashPool) -> Place {
        let free = async {
            loop {
                if let Ok(place) = pool.reserve() {
                    return place;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), free).await.unwrap()
    }

    #[tokio::test]
    async fn a_place_is_for_one_job_after_the_other_and_free_when_it_is_dropped() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = pool.reserve().unwrap();
        for number in 0..3 {
            assert_eq!(
                place.run(Memory::Usual, move |_| number).await.unwrap(),
                number
            );
            assert!(is_busy(&pool.reserve()));
        }
        drop(place);
        assert!(pool.reserve().is_ok());
    }

    #[tokio::test]
    async fn a_job_that_waited_too_long_is_given_up_and_never_computed() {
        let pool = pool(1, SHORT);
        let release = occupy(&pool, Memory::Usual).await;
        let mut place = pool.reserve().unwrap();
        let (computed, is_computed) = channel();
        let late = place.run(Memory::Usual, move |_| computed.send(())).await;
        assert!(is_busy(&late));
        // The queue is as long as before, whoever left it.
        assert!(is_busy(&place.run(Memory::Usual, |_| ()).await));
        drop(place);
        assert!(is_busy(&pool.reserve()));
        drop(release);
        until_free(&pool)
            .await
            .run(Memory::Usual, |_| ())
            .await
            .unwrap();
        assert!(is_computed.recv().is_err());
    }

    #[tokio::test]
    async fn a_job_under_way_keeps_the_place_of_whoever_left() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = pool.reserve().unwrap();
        let (release, released) = channel::<()>();
        let (start, started) = oneshot::channel();
        let job = move |_: &mut Vec<Block>| {
            start.send(()).unwrap();
            let _ = released.recv();
        };
        tokio::select! {
            _ = place.run(Memory::Usual, job) => panic!("the job is over"),
            _ = started => {}
        }
        assert!(is_busy(&place.run(Memory::Usual, |_| ()).await));
        drop(place);
        assert!(is_busy(&pool.reserve()));
        drop(release);
        until_free(&pool).await;
    }

    #[tokio::test]
    async fn a_job_that_panics_frees_its_place_and_leaves_its_thread() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = pool.reserve().unwrap();
        let answer = place.run(Memory::Usual, |_| panic!("on purpose")).await;
        assert!(matches!(answer, Err(Error::Internal(_))));
        drop(place);
        until_free(&pool)
            .await
            .run(Memory::Usual, |_| ())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn one_large_job_at_a_time_hinders_no_usual_one() {
        let threads = NonZeroUsize::new(3).unwrap();
        let pool = HashPool::start(threads, 0, SHORT).unwrap();
        let release = occupy(&pool, Memory::Large).await;
        let mut second = pool.reserve().unwrap();
        assert!(is_busy(&second.run(Memory::Large, |_| ()).await));
        let mut third = pool.reserve().unwrap();
        third.run(Memory::Usual, |_| ()).await.unwrap();
        drop(release);
        third.run(Memory::Large, |_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_usual_memory_is_kept() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = pool.reserve().unwrap();
        for (memory, found) in [
            (Memory::Large, 0),
            (Memory::Usual, 0),
            (Memory::Large, 0),
            (Memory::Usual, 1),
        ] {
            let job = |buffer: &mut Vec<Block>| {
                let found = buffer.len();
                buffer.resize(1, Block::default());
                found
            };
            assert_eq!(place.run(memory, job).await.unwrap(), found);
        }
    }
}

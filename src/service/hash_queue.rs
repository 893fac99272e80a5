//! The hashing threads and their bounded queue.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::Block;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::service::hash_metrics::{HashMetrics, HashQueueState, Rejection};
use crate::service::hash_threads::{Job, Memory, run_jobs};

const BUSY: Error = Error::ServiceUnavailable { retry_after: 1 };

/// After its first place, an address gets its `n`-th place only if `n * FREE_PER_PLACE` places are free.
const FREE_PER_PLACE: usize = 3;

/// A bounded queue of jobs for a fixed number of threads.
///
/// Each thread reuses one buffer, so that the number of threads limits the memory. Jobs that need a larger
/// buffer run one at a time on a separate thread, which frees the buffer after each job.
#[derive(Debug)]
pub(super) struct HashQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    usual: Sender<Job>,
    large: Sender<Job>,
    places: usize,
    free_places: Arc<Semaphore>,
    threads: usize,
    max_wait: Duration,
    addresses: Mutex<HashMap<IpAddr, Address>>,
    metrics: HashMetrics,
}

/// The use of the queue by one client address.
#[derive(Debug)]
struct Address {
    places: usize,
    /// One permit for each job of the address that can be passed to the threads at the same time.
    turns: Arc<Semaphore>,
}

impl HashQueue {
    /// Starts the threads. The queue has one place for each thread and `waiting` additional places. A job that
    /// does not start within `max_wait` fails.
    pub(super) fn start(
        threads: NonZeroUsize,
        waiting: usize,
        max_wait: Duration,
    ) -> io::Result<Self> {
        let threads = threads.get();
        let places = threads.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        let (usual, usual_jobs) = channel();
        let (large, large_jobs) = channel();
        let usual_jobs = Arc::new(Mutex::new(usual_jobs));
        for number in 0..threads {
            let jobs = Arc::clone(&usual_jobs);
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            thread.spawn(move || run_jobs(&jobs, Memory::Usual))?;
        }
        let thread = thread::Builder::new().name("hash-large".to_owned());
        thread.spawn(move || run_jobs(&Mutex::new(large_jobs), Memory::Large))?;
        Ok(Self(Arc::new(Inner {
            usual,
            large,
            places,
            free_places: Arc::new(Semaphore::new(places)),
            threads,
            max_wait,
            addresses: Mutex::default(),
            metrics: HashMetrics::new(),
        })))
    }

    /// Counts one place for `address`, without taking the place yet. Fails if no place is free or `address` has
    /// used up its share.
    ///
    /// An address can always use one place, and more only up to a third as many places as are free, at most a quarter
    /// of all places. Five addresses together can use at most five eighths of a large queue.
    pub(super) fn share(&self, address: Option<IpAddr>) -> Result<Share, Error> {
        if self.0.free_places.available_permits() == 0 {
            return Err(self.0.reject(Rejection::Full));
        }
        let counted = address.map(|address| self.0.count(address)).transpose()?;
        let queue = Arc::clone(&self.0);
        Ok(Share { queue, counted })
    }

    /// Takes a place in the queue. Fails if no place is free.
    pub(super) fn reserve(&self, share: Share) -> Result<Permit, Error> {
        let place = Arc::clone(&self.0.free_places).try_acquire_owned();
        let place = place.map_err(|_| self.0.reject(Rejection::Full))?;
        Ok(Permit(Arc::new((share, place))))
    }

    /// Returns the metrics that the queue counts.
    pub(super) fn metrics(&self) -> &HashMetrics {
        &self.0.metrics
    }

    /// Returns the current use of the queue.
    pub(super) fn state(&self) -> HashQueueState {
        let free = self.0.free_places.available_permits();
        HashQueueState {
            places: self.0.places,
            used: self.0.places.saturating_sub(free),
            threads: self.0.threads,
        }
    }
}

impl Inner {
    fn count(&self, address: IpAddr) -> Result<(IpAddr, Arc<Semaphore>), Error> {
        let mut addresses = lock(&self.addresses);
        let held: usize = addresses.values().map(|address| address.places).sum();
        let most = (self.places.saturating_sub(held) / FREE_PER_PLACE).max(1);
        let entry = addresses.entry(address).or_insert_with(|| Address {
            places: 0,
            turns: Arc::new(Semaphore::new(self.threads)),
        });
        if entry.places >= most {
            return Err(self.reject(Rejection::Address));
        }
        entry.places += 1;
        Ok((address, Arc::clone(&entry.turns)))
    }

    /// Counts a refused request, and returns its error.
    fn reject(&self, reason: Rejection) -> Error {
        self.metrics.count_rejection(reason);
        BUSY
    }
}

/// The claim of a request to a place in the queue. The claim counts for the client address until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    queue: Arc<Inner>,
    counted: Option<(IpAddr, Arc<Semaphore>)>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((address, _)) = self.counted else {
            return;
        };
        let mut addresses = lock(&self.queue.addresses);
        if let Some(entry) = addresses.get_mut(&address) {
            entry.places -= 1;
        }
        addresses.retain(|_, entry| entry.places > 0);
    }
}

/// A place in the queue, for one job at a time. The place becomes free when the permit has been dropped and the
/// last job of the permit has ended.
#[derive(Debug)]
pub(super) struct Permit(Arc<(Share, OwnedSemaphorePermit)>);

impl Permit {
    /// Runs `work` on a hashing thread. If no thread starts `work` before the deadline, `work` never runs, and the
    /// call fails when a thread reaches it. If the caller drops the future before `work` starts, `work` never runs.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        memory: Memory,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Share { queue, counted } = &self.0.0;
        let started = Instant::now();
        let deadline = started + queue.max_wait;
        let mut turn = None;
        if let Some((_, turns)) = counted {
            let acquired = timeout_at(deadline, Arc::clone(turns).acquire_owned()).await;
            let acquired = acquired.map_err(|_| queue.reject(Rejection::Timeout))?;
            turn = Some(acquired.map_err(Error::internal)?);
        }
        let held = (Arc::clone(&self.0), turn);
        let (answer, result) = oneshot::channel();
        let job = move |buffer: &mut Vec<Block>| {
            if answer.is_closed() {
                return;
            }
            let queue = &held.0.0.queue;
            let begun = Instant::now();
            queue.metrics.observe_wait(begun.duration_since(started));
            let result = if begun <= deadline {
                let result = work(buffer);
                queue.metrics.observe_duration(begun.elapsed());
                Ok(result)
            } else {
                Err(queue.reject(Rejection::Timeout))
            };
            drop(held);
            // The send fails if the caller has dropped the future.
            let _ = answer.send(result);
        };
        let jobs = match memory {
            Memory::Usual => &queue.usual,
            Memory::Large => &queue.large,
        };
        let sent = jobs.send(Box::new(job));
        sent.map_err(|_| Error::internal("the hashing threads have ended"))?;
        // If the job panics, it drops the sender, and `result` returns an error.
        result.await.map_err(Error::internal)?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(300);

    fn queue(waiting: usize, max_wait: Duration) -> HashQueue {
        HashQueue::start(NonZeroUsize::MIN, waiting, max_wait).unwrap()
    }

    fn reserve(queue: &HashQueue, address: Option<u8>) -> Result<Permit, Error> {
        let address = address.map(|last| IpAddr::from([192, 0, 2, last]));
        queue.reserve(queue.share(address)?)
    }

    /// Occupies a thread until the returned sender is dropped.
    async fn occupy(queue: &HashQueue) -> Sender<()> {
        let mut permit = reserve(queue, None).unwrap();
        let (release, released) = channel::<()>();
        let (start, started) = oneshot::channel();
        tokio::spawn(async move {
            let job = move |_: &mut Vec<Block>| {
                let _ = start.send(());
                let _ = released.recv();
            };
            permit.run(Memory::Usual, job).await
        });
        started.await.unwrap();
        release
    }

    async fn run_when_free(queue: &HashQueue) {
        let run = async {
            loop {
                if let Ok(mut permit) = reserve(queue, None) {
                    return permit.run(Memory::Usual, |_| ()).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, run).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_holds_at_most_a_quarter_of_the_places() {
        for (places, most) in [(1, 1), (3, 1), (8, 2), (130, 32)] {
            let queue = queue(places - 1, LONG);
            for _ in 0..2 {
                let permits = (0..places).map_while(|_| reserve(&queue, Some(1)).ok());
                assert_eq!(permits.collect::<Vec<_>>().len(), most);
            }
            assert!(lock(&queue.0.addresses).is_empty());
            let permits: Vec<_> = (0..=places).flat_map(|_| reserve(&queue, None)).collect();
            assert_eq!(permits.len(), places);
        }
        // Ten addresses together leave places free.
        let queue = queue(129, LONG);
        let addresses = (0..10).cycle().take(1000);
        let permits = addresses.flat_map(|last| reserve(&queue, Some(last)));
        assert!(permits.collect::<Vec<_>>().len() <= 100);
    }

    #[tokio::test]
    async fn a_job_waits_for_at_most_one_job_of_each_other_address_and_thread() {
        let queue = queue(11, LONG);
        let release = occupy(&queue).await;
        let (done, order) = channel();
        let jobs = [1, 1, 1, 2].map(|address| {
            let mut permit = reserve(&queue, Some(address)).unwrap();
            let done = done.clone();
            async move {
                let job = move |_: &mut Vec<Block>| done.send(address).unwrap();
                permit.run(Memory::Usual, job).await.unwrap();
            }
        });
        tokio::join!(join_all(jobs), async { drop(release) });
        drop(done);
        assert_eq!(order.iter().collect::<Vec<_>>(), [1, 2, 1, 1]);
    }

    #[tokio::test]
    async fn a_job_that_starts_too_late_is_not_computed() {
        let queue = queue(2, SHORT);
        let release = occupy(&queue).await;
        let (computed, results) = channel();
        let mut late = reserve(&queue, None).unwrap();
        let mut abandoned = reserve(&queue, None).unwrap();
        let (first, second) = (computed.clone(), computed);
        let run = abandoned.run(Memory::Usual, move |_| second.send(()));
        assert!(timeout(SHORT / 2, run).await.is_err());
        drop(abandoned);
        assert!(reserve(&queue, None).is_err(), "the job is in the queue");
        tokio::spawn(async move {
            tokio::time::sleep(SHORT * 2).await;
            drop(release);
        });
        let result = late.run(Memory::Usual, move |_| first.send(())).await;
        assert!(matches!(result, Err(Error::ServiceUnavailable { .. })));
        run_when_free(&queue).await;
        assert!(results.recv().is_err());
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_internal_error_and_frees_its_place() {
        let queue = queue(0, LONG);
        let mut permit = reserve(&queue, None).unwrap();
        let result = permit.run(Memory::Usual, |_| panic!("on purpose")).await;
        assert!(matches!(result, Err(Error::Internal(_))));
        drop(permit);
        run_when_free(&queue).await;
    }

    #[tokio::test]
    async fn only_the_usual_buffer_is_reused() {
        let queue = queue(0, LONG);
        let mut permit = reserve(&queue, None).unwrap();
        for (memory, reused) in [(Memory::Large, [0, 0]), (Memory::Usual, [0, 1])] {
            for expected in reused {
                let job = |buffer: &mut Vec<Block>| {
                    std::mem::replace(buffer, vec![Block::default()]).len()
                };
                assert_eq!(permit.run(memory, job).await.unwrap(), expected);
            }
        }
    }
}

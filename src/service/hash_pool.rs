//! The threads that hash passwords.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::Block;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::service::hash_shares::{Share, Shares};

/// Not now, but soon.
const BUSY: Error = Error::ServiceUnavailable { retry_after: 1 };

/// How much lower the priority of the threads is than that of the others: enough for a request to take the
/// processor from them at once nearly always, and where there is never an end of requests, a thirtieth of
/// it is still theirs.
const NICENESS: i32 = 15;

/// A pipe holds 64 KiB, and so there is room for the numbers of so many jobs: handing one in never
/// waits.
const MOST_PLACES: usize = 64 * 1024 / size_of::<usize>();

/// A fixed number of threads behind a bounded queue. Each thread keeps one buffer for all its jobs,
/// so that memory is bounded by the threads and not by who asks, and a client that hangs up frees
/// no place before its job is done.
///
/// Jobs that need more than such a buffer are for one thread beside the others, which keeps nothing:
/// there is only one of them at a time, and none of them keeps the others from their work.
///
/// The threads have a low priority: while others have work, they may be off the processor for long,
/// and whatever lock they held would be held for as long. So they take none that a request needs, be
/// it of a channel, of the runtime or of the allocator: jobs lie in slots that are never contended,
/// only their numbers travel, through pipes of the kernel, and allocating, freeing and waking are for
/// another thread, of the usual priority.
#[derive(Debug)]
pub(super) struct HashPool {
    desk: Arc<Desk>,
    free: Free,
    shares: Shares,
    wait: Duration,
}

/// Where jobs are handed in. The threads end once it is gone.
#[derive(Debug)]
struct Desk {
    slots: Arc<[Slot]>,
    usual: PipeWriter,
    large: PipeWriter,
}

/// Room for one job, which one side has at a time: whoever hands it in until its number is sent, a
/// thread until that sends the number on, and then whoever hands out the answer.
#[derive(Default)]
struct Slot {
    job: Mutex<Option<Box<dyn Job>>>,
    /// Set by the thread that begins with the job or by whoever gives it up, for the other to see.
    is_taken: AtomicBool,
}

/// The numbers of the slots that nobody has.
type Free = Arc<Mutex<Vec<usize>>>;

/// The number of a slot that nobody else has; free again once this is dropped.
#[derive(Debug)]
struct Number {
    index: usize,
    free: Free,
    share: Share,
}

/// Which memory a job works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The buffer that its thread keeps.
    Usual,
    /// More than that, given back at its end.
    Large,
}

impl HashPool {
    /// Starts the threads. `queue` jobs may wait beside as many as there are `threads`, none of them
    /// longer than `wait`.
    pub(super) fn start(threads: NonZeroUsize, queue: usize, wait: Duration) -> io::Result<Self> {
        let places = threads.get().saturating_add(queue).min(MOST_PLACES);
        let slots: Arc<[Slot]> = (0..places).map(|_| Slot::default()).collect();
        let (done, done_writer) = io::pipe()?;
        let done_writer = Arc::new(done_writer);
        let (jobs, usual) = io::pipe()?;
        let jobs = Arc::new(jobs);
        for number in 0..threads.get() {
            let (slots, jobs) = (Arc::clone(&slots), Arc::clone(&jobs));
            let done = Arc::clone(&done_writer);
            let name = format!("hash-{number}");
            spawn(name, move || work(&slots, &jobs, &done, Memory::Usual))?;
        }
        let (jobs, large) = io::pipe()?;
        let these = Arc::clone(&slots);
        let work = move || work(&these, &jobs, &done_writer, Memory::Large);
        spawn("hash-large".to_owned(), work)?;
        let these = Arc::clone(&slots);
        spawn("hash-answers".to_owned(), move || answer(&these, &done))?;
        Ok(Self {
            desk: Arc::new(Desk {
                slots,
                usual,
                large,
            }),
            free: Arc::new(Mutex::new((0..places).collect())),
            shares: Shares::new(places, threads.get()),
            wait,
        })
    }

    /// Counts a place that `client` is about to take. Refuses when no place is free, or when the
    /// client has its share of the places. No place is taken yet.
    pub(super) fn share(&self, client: Option<IpAddr>) -> Result<Share, Error> {
        let share = self.shares.take(client).ok_or(BUSY)?;
        if lock(&self.free).is_empty() {
            return Err(BUSY);
        }
        Ok(share)
    }

    /// Takes a place for jobs to come; refuses at once when none is free.
    pub(super) fn reserve(&self, share: Share) -> Result<Place, Error> {
        let index = lock(&self.free).pop().ok_or(BUSY)?;
        let free = Arc::clone(&self.free);
        Ok(Place {
            number: Some(Number { index, free, share }),
            desk: Arc::clone(&self.desk),
            wait: self.wait,
        })
    }
}

/// A place in the pool, for one job after the other. It is free again once it is dropped and its
/// last job is over.
#[derive(Debug)]
pub(super) struct Place {
    /// Goes with a job and comes back with its answer.
    number: Option<Number>,
    desk: Arc<Desk>,
    wait: Duration,
}

impl Place {
    /// Runs `work` on one of the threads. What none of them has come to in time is given up.
    ///
    /// What `work` owns is freed where it came from, and so it should allocate nothing either.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        memory: Memory,
        work: impl FnMut(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        // A job that was given up has it still.
        let number = self.number.take().ok_or(BUSY)?;
        let deadline = Instant::now() + self.wait;
        let turn = timeout_at(deadline, number.share.turn()).await;
        let turn = turn.map_err(|_| BUSY)?;
        let index = number.index;
        let slot = &self.desk.slots[index];
        let (answer, mut result) = oneshot::channel();
        slot.is_taken.store(false, Ordering::Relaxed);
        *lock(&slot.job) = Some(Box::new(Task {
            work,
            done: None,
            answer,
            number,
            turn,
        }));
        let mut queue = match memory {
            Memory::Usual => &self.desk.usual,
            Memory::Large => &self.desk.large,
        };
        queue
            .write_all(&index.to_ne_bytes())
            .map_err(Error::internal)?;
        let result = match timeout_at(deadline, &mut result).await {
            Ok(result) => result,
            Err(_) if slot.is_taken.swap(true, Ordering::Relaxed) => result.await,
            Err(_) => return Err(BUSY),
        };
        let (done, number) = result.map_err(Error::internal)?;
        self.number = Some(number);
        Ok(done)
    }
}

/// A job, whatever its answer is.
trait Job: Send {
    /// On one of the threads, unless nobody waits any more.
    fn run(&mut self, memory: &mut Vec<Block>);

    /// Elsewhere, once it ran.
    fn finish(self: Box<Self>);
}

struct Task<W, T> {
    work: W,
    done: Option<T>,
    answer: oneshot::Sender<(T, Number)>,
    number: Number,
    turn: Option<OwnedSemaphorePermit>,
}

impl<T: Send, W: FnMut(&mut Vec<Block>) -> T + Send> Job for Task<W, T> {
    fn run(&mut self, memory: &mut Vec<Block>) {
        if !self.answer.is_closed() {
            self.done = Some((self.work)(memory));
        }
    }

    fn finish(self: Box<Self>) {
        // The client's next job may enter the queue.
        drop(self.turn);
        // Of a job that panicked there is nothing; whoever waits for it gets an internal error.
        if let Some(done) = self.done {
            // Fails when nobody waits any more.
            let _ = self.answer.send((done, self.number));
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        lock(&self.free).push(self.index);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(work)?;
    Ok(())
}

/// The next number out of a pipe, until nobody can send one any more. They are all of one length, so
/// that each reader gets a whole one.
fn next(mut numbers: &PipeReader) -> Option<usize> {
    let mut index = [0; size_of::<usize>()];
    numbers.read_exact(&mut index).ok()?;
    Some(usize::from_ne_bytes(index))
}

/// Takes jobs until the pool is dropped.
fn work(slots: &[Slot], jobs: &PipeReader, mut done: &PipeWriter, memory: Memory) {
    // Only on Linux is it the priority of the thread rather than of the process.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "a hashing thread keeps its priority");
    }
    let mut buffer = Vec::new();
    while let Some(index) = next(jobs) {
        let slot = &slots[index];
        if let Some(job) = lock(&slot.job).as_mut()
            && !slot.is_taken.swap(true, Ordering::Relaxed)
        {
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&mut buffer)));
        }
        if memory == Memory::Large {
            buffer = Vec::new();
        }
        if done.write_all(&index.to_ne_bytes()).is_err() {
            return;
        }
    }
}

/// Hands out answers until the threads ended.
fn answer(slots: &[Slot], done: &PipeReader) {
    while let Some(index) = next(done) {
        let job = lock(&slots[index].job).take();
        if let Some(job) = job {
            job.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    /// Long enough for an idle thread to wake up on a busy machine.
    const SHORT: Duration = Duration::from_millis(500);

    fn pool(queue: usize, wait: Duration) -> HashPool {
        HashPool::start(NonZeroUsize::MIN, queue, wait).unwrap()
    }

    fn reserve(pool: &HashPool) -> Result<Place, Error> {
        pool.reserve(pool.share(None)?)
    }

    /// Keeps a thread busy until the sender is dropped.
    async fn occupy(pool: &HashPool, memory: Memory) -> Sender<()> {
        let mut place = reserve(pool).unwrap();
        let (release, released) = channel::<()>();
        let started = Arc::new(Notify::new());
        let start = Arc::clone(&started);
        tokio::spawn(async move {
            let job = move |_: &mut Vec<Block>| {
                start.notify_one();
                let _ = released.recv();
            };
            place.run(memory, job).await
        });
        started.notified().await;
        release
    }

    fn is_busy<T>(result: &Result<T, Error>) -> bool {
        matches!(result, Err(Error::ServiceUnavailable { retry_after: 1 }))
    }

    async fn until_free(pool: &HashPool) -> Place {
        let free = async {
            loop {
                if let Ok(place) = reserve(pool) {
                    return place;
                }
                // Not a moment without a pause: the threads have a lower priority.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), free).await.unwrap()
    }

    #[tokio::test]
    async fn a_place_is_for_one_job_after_the_other_and_free_when_it_is_dropped() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = reserve(&pool).unwrap();
        for number in 0..3 {
            assert_eq!(
                place.run(Memory::Usual, move |_| number).await.unwrap(),
                number
            );
            assert!(is_busy(&reserve(&pool)));
        }
        drop(place);
        assert!(reserve(&pool).is_ok());
    }

    #[tokio::test]
    async fn a_job_that_waited_too_long_is_given_up_and_never_computed() {
        let pool = pool(1, SHORT);
        let release = occupy(&pool, Memory::Usual).await;
        let mut place = reserve(&pool).unwrap();
        let (computed, is_computed) = channel();
        let late = place.run(Memory::Usual, move |_| computed.send(())).await;
        assert!(is_busy(&late));
        // The queue is as long as before, whoever left it.
        assert!(is_busy(&place.run(Memory::Usual, |_| ()).await));
        drop(place);
        assert!(is_busy(&reserve(&pool)));
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
        let mut place = reserve(&pool).unwrap();
        let (release, released) = channel::<()>();
        let started = Arc::new(Notify::new());
        let start = Arc::clone(&started);
        let job = move |_: &mut Vec<Block>| {
            start.notify_one();
            let _ = released.recv();
        };
        tokio::select! {
            _ = place.run(Memory::Usual, job) => panic!("the job is over"),
            () = started.notified() => {}
        }
        assert!(is_busy(&place.run(Memory::Usual, |_| ()).await));
        drop(place);
        assert!(is_busy(&reserve(&pool)));
        drop(release);
        until_free(&pool).await;
    }

    #[tokio::test]
    async fn a_client_has_a_share_of_the_places_until_its_jobs_are_over() {
        let pool = pool(7, Duration::from_mins(1));
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        let share = || pool.share(client);
        let mut first = pool.reserve(share().unwrap()).unwrap();
        let second = pool.reserve(share().unwrap()).unwrap();
        let is_refused = || is_busy(&share());
        assert!(is_refused());
        drop(second);
        // A place is counted before it is taken.
        let second = share().unwrap();
        assert!(is_refused());
        drop(second);
        let release = occupy(&pool, Memory::Usual).await;
        let job = first.run(Memory::Usual, |_| ());
        assert!(timeout(SHORT, job).await.is_err());
        drop(first);
        let second = share().unwrap();
        assert!(
            is_refused(),
            "the job of a client that left has its place still"
        );
        drop(release);
        drop(second);
        let both = async {
            loop {
                if let (Ok(_), Ok(_)) = (share(), share()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), both).await.unwrap();
    }

    #[tokio::test]
    async fn a_job_waits_for_no_more_than_one_job_of_each_other_client() {
        let pool = pool(11, Duration::from_mins(1));
        let release = occupy(&pool, Memory::Usual).await;
        let (done, order) = channel();
        let job = |client: u8| {
            let share = pool.share(Some([192, 0, 2, client].into())).unwrap();
            let mut place = pool.reserve(share).unwrap();
            let done = done.clone();
            async move {
                let work = move |_: &mut Vec<Block>| done.send(client).unwrap();
                place.run(Memory::Usual, work).await.unwrap();
            }
        };
        let jobs = futures_util::future::join_all([job(1), job(1), job(1), job(2)]);
        let release = async {
            // All of them wait by now.
            tokio::task::yield_now().await;
            drop(release);
        };
        tokio::join!(jobs, release);
        drop(done);
        assert_eq!(order.iter().collect::<Vec<_>>(), [1, 2, 1, 1]);
    }

    #[tokio::test]
    async fn a_job_that_panics_frees_its_place_and_leaves_its_thread() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = reserve(&pool).unwrap();
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
        let mut second = reserve(&pool).unwrap();
        assert!(is_busy(&second.run(Memory::Large, |_| ()).await));
        let mut third = reserve(&pool).unwrap();
        third.run(Memory::Usual, |_| ()).await.unwrap();
        drop(release);
        third.run(Memory::Large, |_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_usual_memory_is_kept() {
        let pool = pool(0, Duration::from_mins(1));
        let mut place = reserve(&pool).unwrap();
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

    #[tokio::test]
    async fn a_job_whose_waiter_left_the_queue_is_never_computed() {
        let pool = pool(1, Duration::from_mins(1));
        let release = occupy(&pool, Memory::Usual).await;
        let mut place = reserve(&pool).unwrap();
        let (computed, is_computed) = channel();
        let work = move |_: &mut Vec<Block>| computed.send(());
        assert!(
            timeout(SHORT, place.run(Memory::Usual, work))
                .await
                .is_err()
        );
        drop(place);
        assert!(is_busy(&reserve(&pool)));
        drop(release);
        until_free(&pool).await;
        assert!(is_computed.recv().is_err());
    }

    #[tokio::test]
    async fn jobs_run_at_a_lower_priority_than_whoever_waits_for_them() {
        /// The 19th field, of which the second is a name in parentheses.
        fn niceness() -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            fields.split(' ').nth(16).unwrap().parse().unwrap()
        }
        let pool = pool(0, Duration::from_mins(1));
        let mut place = reserve(&pool).unwrap();
        for memory in [Memory::Usual, Memory::Large] {
            let theirs = place.run(memory, |_| niceness()).await.unwrap();
            assert_eq!(theirs, (niceness() + NICENESS).min(19));
        }
    }

    #[tokio::test]
    async fn what_a_job_owns_is_freed_by_no_hashing_thread() {
        struct Owned(Sender<String>);
        impl Drop for Owned {
            fn drop(&mut self) {
                let name = thread::current().name().unwrap().to_owned();
                self.0.send(name).unwrap();
            }
        }
        let pool = pool(0, Duration::from_mins(1));
        let mut place = reserve(&pool).unwrap();
        let (dropped, is_dropped) = channel();
        let owned = Owned(dropped);
        let work = move |_: &mut Vec<Block>| drop(owned.0.send("computed".to_owned()));
        place.run(Memory::Usual, work).await.unwrap();
        let names: Vec<_> = is_dropped.iter().collect();
        assert_eq!(names, ["computed", "hash-answers"]);
    }

    #[tokio::test]
    async fn the_threads_end_with_the_pool_after_the_last_job() {
        let pool = pool(1, Duration::from_mins(1));
        let threads: Weak<[Slot]> = Arc::downgrade(&pool.desk.slots);
        let release = occupy(&pool, Memory::Usual).await;
        let mut place = reserve(&pool).unwrap();
        drop(pool);
        let last = place.run(Memory::Usual, |_| ());
        drop(release);
        last.await.unwrap();
        drop(place);
        let ended = async {
            while threads.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), ended).await.unwrap();
    }

    #[test]
    fn a_pool_outlives_the_runtime_that_asked_it() {
        let pool = pool(0, Duration::from_mins(1));
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut place = until_free(&pool).await;
                place.run(Memory::Usual, |_| ()).await.unwrap();
            });
        }
    }
}

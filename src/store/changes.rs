//! Know since when nobody's credentials ended and nobody's rights changed: by this process, and by
//! another one on the same database: another instance, or the command line.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

use crate::model::user::UserId;
use crate::store::Store;
use crate::store::pulse::Pulse;

/// How often whoever waits for changes looks whether another process made one.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often whoever waits for changes looks for themselves where nobody tells of them.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The longest notification that is sent; PostgreSQL takes less than 8000 bytes.
const LONGEST_PAYLOAD: usize = 7000;

/// Accounts that share one entry: a change of the one counts as a change of all of them.
const ENTRIES: usize = 4096;

/// The bytes of the file that counts changes.
const LENGTH: usize = size_of::<u64>();

/// A point in the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// Whose credentials end, or who is changed.
#[derive(Debug, Default)]
pub(super) enum Affected {
    #[default]
    None,
    These(Vec<UserId>),
    Any,
}

impl Affected {
    /// What other instances are notified of; nothing where nobody needs to know.
    pub(super) fn payload(&self) -> Option<String> {
        let accounts = match self {
            Self::None => return None,
            Self::These(accounts) => accounts.iter().map(UserId::to_string).collect::<Vec<_>>(),
            Self::Any => Vec::new(),
        };
        let accounts = accounts.join(",");
        let are_these = !accounts.is_empty() && accounts.len() <= LONGEST_PAYLOAD;
        Some(if are_these {
            accounts
        } else {
            "any".to_owned()
        })
    }

    /// What is not understood may be of anybody.
    pub(super) fn from_payload(payload: &str) -> Self {
        let accounts = payload.split(',').map(|id| id.parse().map(UserId));
        accounts
            .collect::<Result<Vec<_>, _>>()
            .map_or(Self::Any, Self::These)
    }
}

/// The last changes, each with its moment; whoever listens is told of each, and looks for themselves.
#[derive(Debug)]
pub(super) struct Changes {
    /// The moment of the last change.
    last: AtomicU64,
    of_accounts: Box<[AtomicU64]>,
    /// The last change that may be of any account.
    of_any: AtomicU64,
    others: Others,
    told: watch::Sender<()>,
    /// Whether a task looks out for other processes.
    looking: Mutex<bool>,
}

/// How other processes on the same database are heard of.
#[derive(Debug)]
enum Others {
    Counted(Counter),
    /// By notifications that are part of each change; for as long as there is a pulse.
    Notified(Arc<Pulse>),
}

impl Changes {
    /// Of the database in this file.
    pub(super) fn of_file(file: &Path) -> io::Result<Arc<Self>> {
        Ok(Self::new(Others::Counted(Counter::beside(file)?)))
    }

    /// Of the database of the server with this pulse.
    pub(super) fn of_server(pulse: &Arc<Pulse>) -> Arc<Self> {
        Self::new(Others::Notified(Arc::clone(pulse)))
    }

    fn new(others: Others) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(0),
            of_accounts: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect(),
            of_any: AtomicU64::new(0),
            others,
            told: watch::Sender::new(()),
            looking: Mutex::new(false),
        })
    }

    /// What other instances are to be notified of with a change, as part of it.
    pub(super) fn notice(&self, affected: &Affected) -> Option<String> {
        match self.others {
            Others::Counted(_) => None,
            Others::Notified(_) => affected.payload(),
        }
    }

    /// To be called once changes are kept, and before anybody is told that they are.
    pub(super) fn are_kept(&self, affected: &Affected) {
        if matches!(affected, Affected::None) {
            return;
        }
        self.mark(affected);
        if let Others::Counted(counter) = &self.others
            && let Err(error) = counter.tell(|| self.anything_may_have_changed())
        {
            tracing::error!(%error, "other processes on this database cannot be told of a change");
        }
        self.told.send_replace(());
    }

    /// To be called when somebody tells of changes. Our own come back, too: one whose outcome nobody
    /// knew is kept, then.
    pub(super) fn are_told(&self, affected: &Affected) {
        self.mark(affected);
        self.told.send_replace(());
    }

    fn mark(&self, affected: &Affected) {
        match affected {
            Affected::None => {}
            Affected::These(accounts) => {
                let moment = self.next();
                for account in accounts {
                    self.entry(*account).fetch_max(moment, Ordering::SeqCst);
                }
            }
            Affected::Any => self.anything_may_have_changed(),
        }
    }

    /// What is read from the database after this is as new as that moment.
    fn now(&self) -> Moment {
        match &self.others {
            Others::Counted(counter) => match counter.have_told() {
                Ok(None) => {}
                Ok(Some(count)) => {
                    self.anything_may_have_changed();
                    counter.heard(count);
                    self.told.send_replace(());
                }
                // Who does not know whether something changed has to take it for granted.
                Err(_) => self.anything_may_have_changed(),
            },
            Others::Notified(pulse) if pulse.is_heard() => {}
            Others::Notified(_) => self.anything_may_have_changed(),
        }
        Moment(self.last.load(Ordering::SeqCst))
    }

    fn none_since(&self, moment: Moment, account: UserId) -> bool {
        let of_account = self.entry(account).load(Ordering::SeqCst);
        of_account.max(self.of_any.load(Ordering::SeqCst)) <= moment.0
    }

    fn anything_may_have_changed(&self) {
        self.of_any.fetch_max(self.next(), Ordering::SeqCst);
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn entry(&self, account: UserId) -> &AtomicU64 {
        // The remainder is less than the length.
        let index = account.0.unsigned_abs() % ENTRIES as u64;
        &self.of_accounts[usize::try_from(index).unwrap_or(0)]
    }
}

/// The other processes on the same file: another one beside it counts the changes that each makes. To
/// look at it is much cheaper than to ask the database.
#[derive(Debug)]
struct Counter {
    file: File,
    /// The same, in memory that all processes share: every request looks at it.
    shared: MmapRegion,
    /// The count that is known.
    known: AtomicU64,
    /// The count that this process is about to write, or wrote last.
    own: AtomicU64,
    /// Held by whoever writes; other processes are kept away by a lock on the file.
    writing: Mutex<()>,
}

impl Counter {
    fn beside(database: &Path) -> io::Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push("-changes");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // A new file counts from zero.
        if file.metadata()?.len() < LENGTH as u64 {
            file.set_len(LENGTH as u64)?;
        }
        let whole = FileOffset::new(file.try_clone()?, 0);
        let shared = MmapRegion::from_file(whole, LENGTH).map_err(io::Error::other)?;
        let count = read(&shared)?;
        Ok(Self {
            file,
            shared,
            known: AtomicU64::new(count),
            own: AtomicU64::new(count),
            writing: Mutex::new(()),
        })
    }

    /// The count, if it is another one than is known.
    fn have_told(&self) -> io::Result<Option<u64>> {
        let count = read(&self.shared)?;
        let known = count == self.known.load(Ordering::SeqCst);
        let own = || count == self.own.load(Ordering::SeqCst);
        Ok((!known && !own()).then_some(count))
    }

    fn heard(&self, count: u64) {
        self.known.store(count, Ordering::SeqCst);
    }

    /// Counts one more change; calls `unheard` first if others made one that is not known yet.
    fn tell(&self, unheard: impl FnOnce()) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.lock()?;
        let told = self.count(unheard);
        self.file.unlock()?;
        told
    }

    fn count(&self, unheard: impl FnOnce()) -> io::Result<()> {
        let count = read(&self.shared)?;
        if count != self.known.load(Ordering::SeqCst) {
            unheard();
        }
        // Whoever looks meanwhile finds the one number or the other.
        self.heard(count);
        self.own.store(count.wrapping_add(1), Ordering::SeqCst);
        let written = (self.file).write_all_at(&count.wrapping_add(1).to_ne_bytes(), 0);
        match written {
            Ok(()) => self.heard(count.wrapping_add(1)),
            // The number is another process's to write.
            Err(_) => self.own.store(count, Ordering::SeqCst),
        }
        written
    }
}

fn read(shared: &MmapRegion) -> io::Result<u64> {
    let count = shared.get_atomic_ref::<AtomicU64>(0);
    Ok(count.map_err(io::Error::other)?.load(Ordering::SeqCst))
}

/// News of changes. Several that come at once are one.
pub(crate) struct Listener(watch::Receiver<()>);

impl Listener {
    /// Waits for the next change since the listener was made, or since the last one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is closed: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    /// What is read after this is as new as that moment.
    pub(crate) fn now(&self) -> Moment {
        self.changes.now()
    }

    /// Whether nothing has happened since that may have ended credentials of the account, or changed
    /// what it is. To be asked of a moment that is past, after [`Store::now`].
    pub(crate) fn unchanged_since(&self, moment: Moment, account: UserId) -> bool {
        self.changes.none_since(moment, account)
    }

    /// Listens from now on. What is read afterwards is as new as the last change, or the listener will
    /// hear of one.
    pub(crate) fn listen(&self) -> Listener {
        let changes = &self.changes;
        let mut looking = (changes.looking.lock()).unwrap_or_else(PoisonError::into_inner);
        let listener = Listener(changes.told.subscribe());
        if !*looking {
            *looking = true;
            tokio::spawn(look(Arc::clone(changes)));
        }
        listener
    }
}

/// Looks out for other processes while anybody listens.
async fn look(changes: Arc<Changes>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        let now = ticks.tick().await;
        {
            let mut looking = (changes.looking.lock()).unwrap_or_else(PoisonError::into_inner);
            if changes.told.receiver_count() == 0 {
                *looking = false;
                return;
            }
        }
        changes.now();
        if let Others::Notified(pulse) = &changes.others
            && !pulse.is_heard()
            && told.is_none_or(|told: Instant| now - told >= TELL_EVERY)
        {
            told = Some(now);
            changes.told.send_replace(());
        }
    }
}

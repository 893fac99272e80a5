//! Faults of the disk under an SQLite database, and the rows in the database.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use entity::{access_token, user};
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseConnection, EntityTrait, QueryFilter,
    QueryOrder,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::finish;

/// Returns whether all faults are tried, as in `scripts/faults` and `scripts/kills`.
pub fn is_exhaustive() -> bool {
    std::env::var("SYMBOLON_TEST_FAULTS").is_ok_and(|faults| faults == "all")
}

/// A file system of 8 MiB in memory. It is unmounted when it is dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts the file system, which requires root.
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "symbolon-test"]);
        let (code, _, error) = finish(mount.arg(folder.path()));
        assert_eq!(
            code,
            Some(0),
            "a tmpfs cannot be mounted, which this test needs root and CAP_SYS_ADMIN for: {error}"
        );
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file until the disk is full.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for length in [64 * 1024, 4096, 512, 1] {
            let bytes = vec![b'x'; length];
            loop {
                match filler.write(&bytes) {
                    Ok(written) => assert!(written > 0),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::StorageFull);
                        break;
                    }
                }
            }
        }
    }

    /// Removes the file.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server can still have files open.
        let mut umount = Command::new("umount");
        finish(umount.arg("--lazy").arg(self.folder.path()));
    }
}

/// A fault at a system call of a running process, until this value is dropped.
pub struct Injection {
    strace: Child,
    trace: PathBuf,
}

impl Injection {
    /// Makes `call` fail with `error` on these files in every thread of the process.
    pub fn begin(process: u32, files: &[PathBuf], call: &str, error: &str, trace: &Path) -> Self {
        Self::attach(process, files, call, &format!("error={error}"), trace)
    }

    /// Kills the process at the `number`-th `call` on these files by one of its threads.
    pub fn kill(process: u32, files: &[PathBuf], call: &str, number: usize, trace: &Path) -> Self {
        let harm = format!("signal=KILL:when={number}");
        Self::attach(process, files, call, &harm, trace)
    }

    fn attach(process: u32, files: &[PathBuf], call: &str, harm: &str, trace: &Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &process.to_string(), "-o"]);
        strace.arg(trace).args(["-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:{harm}")]);
        for file in files {
            strace.arg("-P").arg(file);
        }
        let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
        // strace prints this once all threads are attached.
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = lines.find_map(|line| line.unwrap().contains(" attached").then_some(()));
        assert!(attached.is_some(), "strace cannot attach to {process}");
        std::thread::spawn(move || lines.for_each(drop));
        let trace = trace.to_owned();
        Self { strace, trace }
    }

    /// Ends the fault and returns the number of failed calls.
    pub fn end(mut self) -> usize {
        self.detach();
        let trace = fs::read_to_string(&self.trace).unwrap();
        trace.matches("(INJECTED)").count()
    }

    fn detach(&mut self) {
        let mut interrupt = Command::new("kill");
        finish(interrupt.args(["-s", "INT", &self.strace.id().to_string()]));
        // strace does not notice the end of a process whose main thread it did not kill.
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.strace.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                self.strace.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        if self.strace.try_wait().unwrap().is_none() {
            self.detach();
        }
    }
}

/// The rows of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub user: Option<user::Model>,
    /// The access tokens, without the times of their last use.
    pub access_tokens: Vec<access_token::Model>,
}

impl State {
    /// Reads the committed rows of each user, in the order of `names`.
    pub async fn of_each(file: &Path, names: &[&str]) -> Vec<Self> {
        let database = connect(file).await;
        let mut states = Vec::new();
        for name in names {
            let by_name = user::Column::UsernameCanonical.eq(*name);
            let user = user::Entity::find().filter(by_name).one(&database).await;
            let user = user.unwrap();
            let of_user = access_token::Column::UserId.eq(user.as_ref().map_or(0, |user| user.id));
            let tokens = access_token::Entity::find()
                .filter(of_user)
                .order_by_asc(access_token::Column::Id);
            let mut access_tokens = tokens.all(&database).await.unwrap();
            for token in &mut access_tokens {
                token.last_used_at = None;
            }
            states.push(Self {
                user,
                access_tokens,
            });
        }
        database.close().await.unwrap();
        states
    }

    pub async fn of(file: &Path, name: &str) -> Self {
        Self::of_each(file, &[name]).await.remove(0)
    }

    /// Returns whether the user has a live session and is not disabled.
    pub fn has_session(&self) -> bool {
        let user = self.user.as_ref();
        user.is_some_and(|user| user.token_nonce.is_some() && user.disabled_at.is_none())
    }

    /// Returns whether this is the live session token of the user.
    pub fn has_live_session(&self, session: &str) -> bool {
        let digest = Sha256::digest(session).to_vec();
        let user = self.user.as_ref();
        let own = user.and_then(|user| user.token_digest.as_ref());
        self.has_session() && own == Some(&digest)
    }
}

/// Returns the files of an SQLite database, except the key.
pub fn database_files(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let beside = fs::read_dir(file.parent().unwrap()).unwrap();
    let beside = beside.map(|entry| entry.unwrap().path());
    let belongs = |path: &PathBuf| {
        let other = path.file_name().unwrap().to_str().unwrap();
        other.starts_with(name) && path.extension().is_none_or(|extension| extension != "key")
    };
    let mut files: Vec<_> = beside.filter(belongs).collect();
    files.sort();
    files
}

/// Copies the journal of an SQLite database into the database file and truncates it, so that the next
/// write must extend the journal.
pub async fn empty_the_journal(file: &Path) {
    let database = connect(file).await;
    super::eventually("the journal is empty", async || {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.execute_unprepared(checkpoint).await.unwrap();
        let mut journal = file.as_os_str().to_owned();
        journal.push("-wal");
        (fs::metadata(journal).unwrap().len() == 0).then_some(())
    })
    .await;
    database.close().await.unwrap();
}

async fn connect(file: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}", file.display());
    Database::connect(url).await.unwrap()
}

//! Faults of the disk under an SQLite database.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

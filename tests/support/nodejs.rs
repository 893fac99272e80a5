//! Test suites that run in Node.js, each in a folder below `tests/web` with its own lockfile.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::finish;

/// Serializes installs: several tests share a folder.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Returns the command `node` in `folder`, after the packages of its lockfile are installed.
pub fn node_in(folder: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    // npm writes the second file last, so an interrupted install is repeated. An install of another version of the lockfile is
    // older than the lockfile.
    let changed = |name: &str| fs::metadata(folder.join(name)).and_then(|file| file.modified());
    let lockfile = changed("package-lock.json").unwrap();
    if changed("node_modules/.package-lock.json").map_or(true, |installed| installed < lockfile) {
        succeed(
            Command::new("npm")
                .args(["ci", "--ignore-scripts"])
                .current_dir(&folder),
        );
    }
    drop(installing);
    let mut node = Command::new("node");
    node.current_dir(folder);
    node
}

/// Runs a program that must succeed, and returns its standard output.
pub fn succeed(command: &mut Command) -> String {
    let (code, output, error) = finish(command);
    assert_eq!(code, Some(0), "{command:?}: {output}{error}");
    output
}

//! The lock that prevents an SQLite database from being replaced or copied while a process uses it.
//!
//! Each open database holds a shared lock. A command that needs the database for itself holds an exclusive lock. The
//! lock is an `flock` on a file of its own beside the database: the descriptor of the database file itself must not be
//! closed while SQLite holds its locks, and the database file can be replaced. The lock file is empty, and is never
//! deleted, because a process could otherwise lock the deleted file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
#[cfg(feature = "server")]
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};

use crate::store::open_error::OpenError;
use crate::store::sqlite::{folder_of, with_suffix};
use crate::store::sqlite_tables_check::check_hard_links;

/// A lock on an SQLite database, which is released when it is dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks the database together with other processes that use it.
    ///
    /// # Errors
    ///
    /// Returns an error if another process copies or restores the database.
    pub(super) fn shared(database: &Path) -> Result<Self, OpenError> {
        Self::lock(database, File::try_lock_shared, OpenError::Locked)
    }

    /// Locks the database for this process only.
    ///
    /// # Errors
    ///
    /// Returns an error if another process uses the database.
    #[cfg(feature = "server")]
    pub(crate) fn exclusive(database: &Path) -> Result<Self, OpenError> {
        Self::lock(database, File::try_lock, OpenError::InUse)
    }

    fn lock(
        database: &Path,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
        refusal: impl Fn(String) -> OpenError,
    ) -> Result<Self, OpenError> {
        // Each name of the file would have its own lock.
        check_hard_links(database)?;
        let file = lock_file(database);
        let failed = |error: io::Error| OpenError::Lock(file.clone(), error);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).mode(0o600);
        let opened = options.open(&file).map_err(failed)?;
        match lock(&opened) {
            Ok(()) => Ok(Self { _file: opened }),
            Err(TryLockError::WouldBlock) => {
                let name = path::absolute(database).unwrap_or_else(|_| database.to_owned());
                Err(refusal(name.display().to_string()))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Returns the lock file, which is beside the file to which symbolic links lead, like the journal.
fn lock_file(database: &Path) -> PathBuf {
    with_suffix(&real_path(database), "-lock")
}

/// Returns the path without symbolic links. The file itself need not exist.
pub(super) fn real_path(database: &Path) -> PathBuf {
    fs::canonicalize(database).unwrap_or_else(|_| {
        let folder = fs::canonicalize(folder_of(database));
        let file = folder.ok().zip(database.file_name());
        file.map_or_else(|| database.to_owned(), |(folder, name)| folder.join(name))
    })
}

/// Returns whether two paths lead to the same file.
#[cfg(feature = "server")]
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    real_path(a) == real_path(b) || id(a).is_some_and(|a| Some(a) == id(b))
}

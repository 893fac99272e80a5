//! The files of a SQLite database.

use std::ffi::OsStr;
use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The database file, its journal and the index of the journal, as they were when the database was opened.
///
/// While the database is open none of them may be replaced or deleted: connections would go on with the
/// deleted file, so that their changes are lost and those of other processes are not seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, Id)>);

/// Device and inode.
type Id = (u64, u64);

impl Files {
    /// The files of the database at `path`, of which all that exist now must stay.
    pub(super) fn of(path: &Path) -> Self {
        let files = ["", "-wal", "-shm"].map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(OsStr::new(suffix));
            PathBuf::from(name)
        });
        let present = files.into_iter().filter_map(|file| {
            let id = id(&file)?;
            Some((file, id))
        });
        Self(present.collect())
    }

    /// The first file that was deleted or replaced.
    pub(super) fn lost(&self) -> Option<&Path> {
        let lost = self.0.iter().find(|(file, known)| id(file) != Some(*known));
        lost.map(|(file, _)| file.as_path())
    }
}

fn id(file: &Path) -> Option<Id> {
    let metadata = metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

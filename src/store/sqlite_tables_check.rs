//! The check that an SQLite file has the tables of this version.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::migrations::{Tables, prepare_tables};
use crate::store::open_error::{EMPTY_FILE, OpenError};
use crate::store::sqlite::{connect_read_only, retry_while, with_suffix};

/// SQLite's error message for a file that the process has no permission to open.
const CANNOT_OPEN: &str = "unable to open database file";

/// SQLite's error message for a damaged file.
const MALFORMED: &str = "database disk image is malformed";

/// SQLite's error message for a file in another format.
const NOT_SQLITE: &str = "file is not a database";

/// Checks that a file is a database with the tables of this version, without changing the file. The connection is
/// read-only, because a connection that writes would change the journal mode and create files beside the database.
pub(super) async fn check_file(path: &Path, location: &Location) -> Result<(), OpenError> {
    let foreign = |reason| Err(OpenError::Foreign(location.full_name(), reason));
    // This function must not open the file itself. Closing the descriptor of the file would release the locks
    // that SQLite connections of this process hold on the file.
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(location.full_name()));
        }
        Err(error) => return Err(OpenError::Read(path.to_owned(), error)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() {
        return foreign("it is not a file");
    }
    if metadata.len() == 0 {
        return foreign(EMPTY_FILE);
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let check = || async {
        // If there is no journal, all data is in the database file. In this case, the file is read without locks,
        // because locking would create a journal.
        let is_immutable = !with_suffix(&path, "-wal").exists();
        let database = connect_read_only(&path, is_immutable).await;
        let database = database.map_err(|error| OpenError::Connect(location.clone(), error))?;
        let checked = prepare_tables(&database, location, Tables::Check).await;
        let _ = database.close().await;
        checked
    };
    let is_retryable =
        |error: &OpenError| matches!(error, OpenError::Connect(_, error) if is_busy(error));
    let checked = retry_while(is_retryable, check).await;
    checked.map_err(|error| explain(error, &path, location))
}

/// Replaces an error of SQLite by the error that describes the file.
pub(super) fn explain(error: OpenError, path: &Path, location: &Location) -> OpenError {
    let OpenError::Connect(_, cause) = &error else {
        return error;
    };
    let cause = cause.to_string();
    if cause.contains(NOT_SQLITE) {
        OpenError::Foreign(location.full_name(), "the file is not an SQLite database")
    } else if cause.contains(CANNOT_OPEN) {
        OpenError::Denied(location.full_name())
    } else if cause.contains(MALFORMED) {
        OpenError::Damaged(path.to_owned(), MALFORMED.to_owned())
    } else {
        error
    }
}

/// Refuses a file that has several names (hard links).
pub(super) fn check_hard_links(path: &Path) -> Result<(), OpenError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1) {
        return Err(OpenError::HardLinked(path.to_owned()));
    }
    Ok(())
}

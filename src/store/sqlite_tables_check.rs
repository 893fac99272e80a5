//! The check that an SQLite file has the tables of this version.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

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
    match retry_while(is_retryable, check).await {
        Err(OpenError::Connect(_, error)) if error.to_string().contains(NOT_SQLITE) => {
            foreign("the file is not an SQLite database")
        }
        Err(OpenError::Connect(_, error)) if error.to_string().contains(CANNOT_OPEN) => {
            Err(OpenError::Denied(location.full_name()))
        }
        checked => checked,
    }
}

/// Refuses a file whose structure is damaged. Reads the whole file.
pub(super) async fn check_structure(path: &Path, location: &Location) -> Result<(), OpenError> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error| OpenError::Connect(location.clone(), error);
    let check = || async {
        let is_immutable = !with_suffix(&path, "-wal").exists();
        let database = connect_read_only(&path, is_immutable)
            .await
            .map_err(failed)?;
        let pragma = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
        let row = database.query_one_raw(pragma).await;
        let _ = database.close().await;
        let row = row.map_err(failed)?;
        let damage: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
        match damage.as_deref() {
            Some("ok") => Ok(()),
            damage => Err(OpenError::Damaged(
                path.clone(),
                damage.unwrap_or_default().replace('\n', " "),
            )),
        }
    };
    let is_retryable =
        |error: &OpenError| matches!(error, OpenError::Connect(_, error) if is_busy(error));
    retry_while(is_retryable, check).await
}

/// Converts the error of SQLite for a damaged file.
pub(super) fn find_damage(path: &Path, error: OpenError) -> OpenError {
    match error {
        OpenError::Connect(_, error) if error.to_string().contains(MALFORMED) => {
            OpenError::Damaged(path.to_owned(), MALFORMED.to_owned())
        }
        error => error,
    }
}

/// Refuses a file that has several names (hard links).
pub(super) fn check_hard_links(path: &Path) -> Result<(), OpenError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1) {
        return Err(OpenError::HardLinked(path.to_owned()));
    }
    Ok(())
}

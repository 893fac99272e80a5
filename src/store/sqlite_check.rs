//! The check of a SQLite file that must have the tables of this version.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::migrations::{Tables, prepare_tables};
use crate::store::open_error::OpenError;
use crate::store::sqlite::{connect_read_only, retry_while, with_suffix};

/// The message of SQLite about a file that the operating system does not let it open.
const CANNOT_OPEN: &str = "unable to open database file";

/// The message of SQLite about a file of another format.
const NOT_SQLITE: &str = "file is not a database";

/// Checks that a file is a database with the tables of this version, and does not change it. A connection that
/// writes would switch the database to another journal mode and create files beside it.
pub(super) async fn check_file(path: &Path, location: &Location) -> Result<(), OpenError> {
    let foreign = |reason| Err(OpenError::Foreign(location.full_name(), reason));
    // Only SQLite opens the file: closing another descriptor of it would release the locks that other connections
    // of this process hold.
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
        return foreign("the file is empty");
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let check = || async {
        // Without a journal, all data is in the file. It is read without locks, which would create a journal.
        let is_immutable = !with_suffix(&path, "-wal").exists();
        let database = connect_read_only(&path, is_immutable).await;
        let database = database.map_err(|error| OpenError::Connect(location.clone(), error))?;
        let checked = prepare_tables(&database, location, Tables::Check).await;
        let _ = database.close().await;
        checked
    };
    let is_busy =
        |error: &OpenError| matches!(error, OpenError::Connect(_, error) if is_busy(error));
    match retry_while(is_busy, check).await {
        Err(OpenError::Connect(_, error)) if error.to_string().contains(NOT_SQLITE) => {
            foreign("the file is not an SQLite database")
        }
        Err(OpenError::Connect(_, error)) if error.to_string().contains(CANNOT_OPEN) => {
            Err(OpenError::Denied(location.full_name()))
        }
        checked => checked,
    }
}

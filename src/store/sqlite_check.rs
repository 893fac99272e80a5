//! Look at a SQLite file without changing it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{DatabaseConnection, DbErr, SqlxSqliteConnector};
use tokio::time::sleep;

use crate::store::connect::{OpenError, Tables, foreign, prepare};
use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::pools::{PATIENCE, connection_error};

/// The message of SQLite about a file that the system does not let it open.
const CANNOT_OPEN: &str = "unable to open database file";

/// The message of SQLite about a file of another format.
const NOT_SQLITE: &str = "file is not a database";

/// Refuses a file that is not a database with the tables of this version, and does not change it: a
/// connection that writes would switch it to another journal, and make files beside it.
pub(super) async fn probe(path: &Path, location: &Location) -> Result<(), OpenError> {
    // Only SQLite opens the file: closing another descriptor of it would release the locks that other
    // connections of this process hold.
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(location.full_name()));
        }
        Err(error) => return Err(OpenError::Read(path.to_owned(), error)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() {
        return Err(foreign(location, "it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(foreign(location, "the file is empty"));
    }
    let started = Instant::now();
    loop {
        let done = match connect_to_read(path).await {
            Ok(database) => {
                let done = prepare(&database, location, Tables::Check).await;
                let _ = database.close().await;
                done
            }
            Err(error) => Err(OpenError::Connect(location.clone(), error)),
        };
        match done {
            Err(OpenError::Connect(_, error))
                if is_busy(&error) && started.elapsed() < PATIENCE =>
            {
                sleep(Duration::from_millis(10)).await;
            }
            Err(OpenError::Connect(_, error)) if error.to_string().contains(NOT_SQLITE) => {
                return Err(foreign(location, "the file is not an SQLite database"));
            }
            Err(OpenError::Connect(_, error)) if error.to_string().contains(CANNOT_OPEN) => {
                return Err(OpenError::Denied(location.full_name()));
            }
            done => return done,
        }
    }
}

/// Connects without creating or changing a file. Where there is no journal beside the file, all is in
/// the file, and it is read without the locks that would make one.
async fn connect_to_read(path: &Path) -> Result<DatabaseConnection, DbErr> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    let is_whole = !Path::new(&journal).exists();
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .disable_statement_logging()
        .busy_timeout(PATIENCE)
        .read_only(true)
        .immutable(is_whole);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options);
    let pool = pool.await.map_err(connection_error)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

//! Copy the database while it is in use.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use entity::user;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DbErr, EntityTrait, PaginatorTrait, Statement,
};
use tempfile::NamedTempFile;

use crate::store::{Location, Store};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("{0} is on a server, which has means of its own, such as pg_dump")]
    Server(Location),
    #[error("{0} is there already")]
    Exists(PathBuf),
    #[error("{0} cannot be written: {1}")]
    Write(PathBuf, #[source] io::Error),
    #[error("the database cannot be copied: {0}")]
    Copy(#[from] DbErr),
    #[error("the copy is not whole: {0}")]
    Damaged(String),
}

impl Store {
    /// Copies the database, as it is at one moment, into a new file, and reads all of that; how many
    /// accounts are in it. The file appears under its name whole and synced, or not at all.
    pub(crate) async fn back_up(&self, file: &Path) -> Result<u64, BackupError> {
        if self.location.file().is_none() {
            return Err(BackupError::Server(self.location.clone()));
        }
        let written = |error| BackupError::Write(file.to_owned(), error);
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if file.exists() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        // For its owner alone, as the database is.
        let copy = NamedTempFile::new_in(folder).map_err(written)?;
        let backend = self.writer.get_database_backend();
        let path = copy.path().display().to_string();
        let vacuum = Statement::from_sql_and_values(backend, "VACUUM INTO ?", [path.into()]);
        self.writer.execute_raw(vacuum).await?;
        let accounts = check(copy.path()).await?;
        copy.as_file().sync_all().map_err(written)?;
        copy.persist_noclobber(file)
            .map_err(|error| written(error.error))?;
        let folder = File::open(folder).map_err(written)?;
        folder.sync_all().map_err(written)?;
        Ok(accounts)
    }
}

/// Reads every page of the copy; how many accounts there are.
async fn check(copy: &Path) -> Result<u64, BackupError> {
    let path = copy.to_owned();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| options.filename(&path).read_only(true));
    let database = Database::connect(options).await?;
    let check = Statement::from_string(database.get_database_backend(), "PRAGMA integrity_check");
    let told = database.query_one_raw(check).await?;
    let told = told.map(|row| row.try_get_by_index::<String>(0));
    let told = told.transpose()?.unwrap_or_default();
    let accounts = user::Entity::find().count(&database).await?;
    database.close().await?;
    if told != "ok" {
        return Err(BackupError::Damaged(told));
    }
    Ok(accounts)
}

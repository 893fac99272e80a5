//! Copies of an SQLite database that is in use.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use entity::user;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, Statement};
use tempfile::NamedTempFile;

use crate::store::database::Store;
use crate::store::database_url::Location;
use crate::store::sqlite::{connect_read_only, folder_of};

/// The reason why a database cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("{0} is on a PostgreSQL server; use a PostgreSQL tool such as pg_dump")]
    Server(Location),
    #[error("{0} already exists")]
    Exists(PathBuf),
    #[error("{0} cannot be written to: {1}")]
    Write(PathBuf, #[source] io::Error),
    #[error("the database cannot be copied: {0}")]
    Copy(#[from] DbErr),
    #[error("the copy is damaged: {0}")]
    Damaged(String),
}

impl Store {
    /// Copies a snapshot of the database to a new file and checks the copy. Returns the number of users in the copy.
    /// The file appears under its final name only after the copy is complete and synced to disk.
    pub(crate) async fn back_up(&self, file: &Path) -> Result<u64, BackupError> {
        if self.location.file().is_none() {
            return Err(BackupError::Server(self.location.clone()));
        }
        let failed = |error| BackupError::Write(file.to_owned(), error);
        let folder = folder_of(file);
        if file.exists() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        // The temporary file is readable by its owner only, like the database.
        let copy = NamedTempFile::new_in(folder).map_err(failed)?;
        let backend = self.writer.get_database_backend();
        let path = copy.path().display().to_string();
        let vacuum = Statement::from_sql_and_values(backend, "VACUUM INTO ?", [path.into()]);
        self.writer.execute_raw(vacuum).await?;
        let users = check_copy(copy.path()).await?;
        copy.as_file().sync_all().map_err(failed)?;
        copy.persist_noclobber(file)
            .map_err(|error| failed(error.error))?;
        let folder = File::open(folder).map_err(failed)?;
        folder.sync_all().map_err(failed)?;
        Ok(users)
    }
}

/// Checks the integrity of the copy. Returns the number of users in the copy.
async fn check_copy(copy: &Path) -> Result<u64, BackupError> {
    let database = connect_read_only(copy, false).await?;
    let check = Statement::from_string(database.get_database_backend(), "PRAGMA integrity_check");
    let row = database.query_one_raw(check).await?;
    let result = row.map(|row| row.try_get_by_index::<String>(0));
    let result = result.transpose()?.unwrap_or_default();
    let users = user::Entity::find().count(&database).await?;
    database.close().await?;
    if result != "ok" {
        return Err(BackupError::Damaged(result));
    }
    Ok(users)
}

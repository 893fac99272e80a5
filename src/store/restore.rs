//! The replacement of an SQLite database by a backup.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::geteuid;
use sea_orm::sqlx::sqlite::SqliteJournalMode;
use sea_orm::sqlx::{ConnectOptions, Connection};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use tempfile::TempDir;

use crate::store::database_lock::{DatabaseLock, is_same_file, real_path};
use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::migrations::{Tables, prepare_tables};
use crate::store::open_error::OpenError;
use crate::store::pool_eviction::PoolEviction;
use crate::store::sqlite::{
    connect, connect_read_only, connection_error, create_private, folder_of, options, with_suffix,
};
use crate::store::sqlite_tables_check::check_file;

/// The reason why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0} is on a PostgreSQL server; use pg_restore, as docs/operation.md describes")]
    Server(Location),
    #[error("the backup {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is the database itself, not a backup")]
    SameFile(PathBuf),
    #[error("the backup {0} is not a database of Symbolon: {1}")]
    Foreign(PathBuf, &'static str),
    #[error("the backup {0} is damaged: {1}")]
    Damaged(PathBuf, String),
    #[error(
        "the backup {0} was written by a newer version of Symbolon, which has the migration {1}; use that version"
    )]
    Newer(PathBuf, String),
    #[error("{0} is a symbolic link that leads to no file")]
    DanglingLink(PathBuf),
    #[error("the backup {0} cannot be copied: {1}")]
    Copy(PathBuf, #[source] DbErr),
    #[error(
        "the database {0} belongs to another user; run the command as the user that runs the server"
    )]
    Owner(PathBuf),
    #[error("{0} cannot be written to: {1}")]
    Write(PathBuf, #[source] io::Error),
}

/// A copy of a backup that is prepared beside the database. Holds the lock on the database.
pub(crate) struct Restoration {
    database: PathBuf,
    /// The folder of the copy. The name is random, so that no folder of another program is used. Removed when dropped.
    staging: TempDir,
    _lock: DatabaseLock,
}

impl Restoration {
    /// Locks the database, checks the backup, copies it, and migrates the copy. Changes neither the backup nor the database.
    pub(crate) async fn prepare(location: &Location, backup: &Path) -> Result<Self, RestoreError> {
        let path = location.file();
        let path = path.ok_or_else(|| RestoreError::Server(location.clone()))?;
        let database = real_path(path);
        if !folder_of(&database).is_dir() {
            return Err(OpenError::NoFolder(folder_of(&database).to_owned()).into());
        }
        // The restored file would replace the link.
        if database.is_symlink() {
            return Err(RestoreError::DanglingLink(database));
        }
        let unreadable = |error| RestoreError::Read(backup.to_owned(), error);
        fs::metadata(backup).map_err(unreadable)?;
        if is_same_file(&database, backup) {
            return Err(RestoreError::SameFile(backup.to_owned()));
        }
        // The new file belongs to the user of this process.
        if fs::metadata(&database).is_ok_and(|metadata| metadata.uid() != geteuid().as_raw()) {
            return Err(RestoreError::Owner(database));
        }
        let lock = DatabaseLock::exclusive(path)?;
        match check_file(backup, &Location::File(backup.to_owned())).await {
            Ok(()) | Err(OpenError::Older(_)) => {}
            Err(error) => return Err(backup_error(error, backup)),
        }
        let folder = folder_of(&database);
        let prefix = with_suffix(&database, "-restore-");
        let staging = tempfile::Builder::new()
            .prefix(prefix.file_name().unwrap_or_default())
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(folder);
        let staging = staging.map_err(|error| RestoreError::Write(folder.to_owned(), error))?;
        let restoration = Self {
            staging,
            database,
            _lock: lock,
        };
        restoration.copy(backup).await?;
        restoration.migrate(backup).await?;
        Ok(restoration)
    }

    /// Returns the path of the copy, which can be changed.
    pub(crate) fn copy_path(&self) -> PathBuf {
        self.staging.path().join("symbolon.db")
    }

    /// Migrates the copy.
    async fn migrate(&self, backup: &Path) -> Result<(), RestoreError> {
        let failed = |error| RestoreError::Copy(backup.to_owned(), error);
        let copy = connect(&self.copy_path(), true, &PoolEviction::new()).await;
        let copy = copy.map_err(failed)?;
        let location = Location::File(backup.to_owned());
        let migrated = prepare_tables(&copy, &location, Tables::Migrate).await;
        copy.close().await.map_err(failed)?;
        migrated.map_err(|error| backup_error(error, backup))
    }

    /// Copies the backup, including the changes in its write-ahead log, and checks its integrity.
    async fn copy(&self, backup: &Path) -> Result<(), RestoreError> {
        let failed = |error| RestoreError::Copy(backup.to_owned(), error);
        let copy = self.copy_path();
        create_private(&copy).map_err(|error| RestoreError::Write(copy.clone(), error))?;
        let backup = real_path(backup);
        let has_journal = ["-wal", "-journal"]
            .iter()
            .any(|suffix| with_suffix(&backup, suffix).exists());
        // Without a journal, the file is read without locks, because locking would create a journal.
        let is_immutable = !has_journal;
        let source = connect_read_only(&backup, is_immutable).await;
        let source = source.map_err(failed)?;
        let work = async {
            let check = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check(1)");
            let row = source.query_one_raw(check).await?;
            let damage = row
                .map(|row| row.try_get_by_index::<String>(0))
                .transpose()?;
            if damage.as_deref() == Some("ok") {
                let into = [copy.display().to_string().into()];
                let vacuum = "VACUUM INTO ?";
                let vacuum = Statement::from_sql_and_values(DbBackend::Sqlite, vacuum, into);
                source.execute_raw(vacuum).await?;
            }
            Ok(damage.unwrap_or_default())
        };
        let damage = work.await;
        let _ = source.close().await;
        match damage.map_err(failed)?.as_str() {
            "ok" => Ok(()),
            damage => Err(RestoreError::Damaged(backup, damage.replace('\n', " "))),
        }
    }

    /// Replaces the database by the copy. Returns the file that contains the replaced database, if there was one.
    ///
    /// If the process is killed, the database is either the replaced one or the copy.
    pub(crate) async fn replace(self) -> Result<Option<PathBuf>, RestoreError> {
        let database = &self.database;
        let failed = |error| RestoreError::Write(database.clone(), error);
        let copy = self.copy_path();
        // The last connection to the copy writes its changes into the file. If this failed, the revocations are missing
        // in the file.
        if with_suffix(&copy, "-wal").exists() {
            let error = io::Error::other("the changes of the copy are not in its file");
            return Err(RestoreError::Write(copy, error));
        }
        let kept = if database.exists() {
            self.merge_journal().await?;
            Some(self.keep().map_err(failed)?)
        } else {
            None
        };
        let replace = || {
            File::open(&copy)?.sync_all()?;
            // After `merge_journal`, these files exist only if the replaced database is damaged or missing. SQLite would
            // apply them to the restored file.
            for suffix in ["-wal", "-shm", "-journal"] {
                match fs::remove_file(with_suffix(database, suffix)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&copy, database)?;
            File::open(folder_of(database))?.sync_all()
        };
        replace().map_err(failed)?;
        Ok(kept)
    }

    /// Writes the changes in the write-ahead log into the database file, and deletes the log. Changes the journal mode,
    /// which SQLite refuses while another process has opened the database. A damaged database is left as it is.
    async fn merge_journal(&self) -> Result<(), RestoreError> {
        let options = options(&self.database, true).journal_mode(SqliteJournalMode::Delete);
        let merged = match options.connect().await {
            Ok(connection) => connection.close().await,
            Err(error) => Err(error),
        };
        match merged.map_err(connection_error) {
            Err(error) if is_busy(&error) => {
                Err(OpenError::InUse(self.database.display().to_string()).into())
            }
            _ => Ok(()),
        }
    }

    /// Copies the database to a new file beside it, with its write-ahead log if there is one.
    fn keep(&self) -> io::Result<PathBuf> {
        let part = self.staging.path().join("kept");
        let keep = |from: &Path, to: &Path| {
            fs::copy(from, &part)?;
            fs::set_permissions(&part, Permissions::from_mode(0o600))?;
            File::open(&part)?.sync_all()?;
            Ok::<_, io::Error>(renameat_with(CWD, &part, CWD, to, RenameFlags::NOREPLACE)?)
        };
        let names = (1_u32..).map(|number| {
            let suffix = format!(".before-restore-{number}");
            with_suffix(&self.database, &suffix)
        });
        let is_free = |name: &PathBuf| fs::symlink_metadata(name).is_err();
        let mut names = names.filter(is_free);
        let name = names.next().ok_or(io::ErrorKind::AlreadyExists)?;
        let journal = with_suffix(&self.database, "-wal");
        if journal.exists() {
            keep(&journal, &with_suffix(&name, "-wal"))?;
        }
        keep(&self.database, &name)?;
        Ok(name)
    }
}

/// Converts an error of the check or of the migration of a backup.
fn backup_error(error: OpenError, backup: &Path) -> RestoreError {
    let backup = backup.to_owned();
    match error {
        OpenError::Foreign(_, reason) => RestoreError::Foreign(backup, reason),
        OpenError::Damaged(_, damage) => RestoreError::Damaged(backup, damage),
        OpenError::MissingTable(_, table) => {
            RestoreError::Damaged(backup, format!("the table {table} is missing"))
        }
        OpenError::Newer(_, migration) => RestoreError::Newer(backup, migration),
        error => error.into(),
    }
}

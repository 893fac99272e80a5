//! Replacement of the database by a backup.

use std::path::{Path, PathBuf};

use super::Symbolon;
use super::inspection::parse;
use super::open::open_error;
use crate::config::Config;
use crate::error::StartError;
use crate::store::{Restoration, RestoreError};

/// The result of [`Symbolon::restore`].
///
/// ```
/// use symbolon::{RestoreReport, Symbolon};
///
/// /// Returns a line for the log.
/// fn summary(report: &RestoreReport) -> String {
///     let replaced = report.replaced.as_ref().map_or("nothing".into(), |file| file.to_string_lossy());
///     format!("{} tokens revoked; {replaced} replaced", report.revoked.unwrap_or(0))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let backup = folder.path().join("backup.db");
/// # let symbolon = Symbolon::open(config.clone()).await?;
/// # symbolon.operator().back_up(&backup).await?;
/// # symbolon.close().await?;
/// let report = Symbolon::restore(&config, &backup, false).await?;
/// println!("{}", summary(&report));
/// # assert!(summary(&report).starts_with("0 tokens revoked; /"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The number of session tokens and access tokens that were live in the backup and were revoked. `None` if the
    /// tokens were kept.
    pub revoked: Option<u64>,
    /// The file that contains the replaced database. `None` if there was no database.
    pub replaced: Option<PathBuf>,
}

impl Symbolon {
    /// Replaces the SQLite database by a backup. Migrates the backup, and revokes all tokens and one-time links in it unless
    /// `keep_tokens` is set, before the database is replaced. Keeps the replaced database. Does not change the file of the
    /// backup.
    ///
    /// ```
    /// use symbolon::Symbolon;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = Symbolon::open(config.clone()).await?;
    /// let backup = folder.path().join("backup.db");
    /// symbolon.operator().back_up(&backup).await?;
    /// symbolon.close().await?;
    ///
    /// let report = Symbolon::restore(&config, &backup, false).await?;
    /// assert_eq!(report.revoked, Some(0));
    /// assert!(report.replaced.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database is not SQLite, if a process is using it, if the backup is damaged, has no tables of
    /// Symbolon or was written by a newer version, or if a file cannot be written. The database has then not been replaced.
    pub async fn restore(
        config: &Config,
        backup: &Path,
        keep_tokens: bool,
    ) -> Result<RestoreReport, StartError> {
        let restoration = Restoration::prepare(&parse(config)?, backup).await;
        let restoration = restoration.map_err(restore_error)?;
        let failed = |error: crate::Error| StartError::Database(error.into());
        let revoked = if keep_tokens {
            None
        } else {
            let mut config = config.clone();
            let path = restoration.copy_path();
            config.database_url = format!("sqlite://{}", path.display()).into();
            let operator = Self::open_operator(config).await?;
            let revoked = operator.revoke_all_tokens().await.map_err(failed)?;
            operator.close().await.map_err(failed)?;
            Some(revoked)
        };
        let replaced = restoration.replace().await.map_err(restore_error)?;
        Ok(RestoreReport { revoked, replaced })
    }
}

fn restore_error(error: RestoreError) -> StartError {
    match error {
        RestoreError::Open(error) => open_error(error),
        error => StartError::Database(error.into()),
    }
}

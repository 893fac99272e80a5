//! Copies of a database to another database.

use super::Symbolon;
use super::inspection::parse;
use super::open::open_error;
use crate::config::Config;
use crate::error::StartError;
use crate::store::{self, CopyError, CopyProgress, CopyReport};

impl Symbolon {
    /// Copies all rows of Symbolon's tables from the database of `source` to the database of `target`, in one transaction.
    /// The databases can be SQLite or PostgreSQL. Creates the target if it is an SQLite file that does not exist, and
    /// migrates the target. Does not copy other tables, whose names are in the report. Calls `on_progress` after each batch of rows. A dry run does not change the target, and returns
    /// the reasons why a copy would be refused.
    ///
    /// ```
    /// use symbolon::{Config, Symbolon};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// # operator.close().await?;
    /// # let source = Config::new(format!("sqlite://{}/app.db", folder.path().display()));
    /// # let target = Config::new(format!("sqlite://{}/target.db", folder.path().display()));
    /// // Usually, the target is a PostgreSQL database.
    /// let report = Symbolon::copy(&source, &target, false, |progress| {
    ///     println!("{} of {}", progress.done, progress.total);
    /// });
    /// let report = report.await?;
    /// assert!(report.tables.contains(&("symbolon_user", 1)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a URL is invalid, if a process is using one of the databases, if the tables of the source are
    /// not those of this version, if the target has rows, or if a database fails. The target then has no rows, except if
    /// its commit failed.
    pub async fn copy(
        source: &Config,
        target: &Config,
        is_dry_run: bool,
        on_progress: impl Fn(CopyProgress) + Send + Sync,
    ) -> Result<CopyReport, StartError> {
        let (source, target) = (parse(source)?, parse(target)?);
        let copied = store::copy(&source, &target, is_dry_run, &on_progress).await;
        copied.map_err(|error| match error {
            CopyError::Open(error) => open_error(error),
            error => StartError::Database(error.into()),
        })
    }
}

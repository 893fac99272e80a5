//! The inspection of the environment of an instance, without changing data.

use super::Symbolon;
use super::open::{key_source, open_error};
use crate::config::Config;
use crate::error::StartError;
use crate::service::server_key::KeySource;
use crate::store::{DatabaseInspection, Location, inspect};

/// The state of the database and of the server key. Created by [`Symbolon::inspect`].
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
/// let inspection = Symbolon::inspect(&config).await?;
/// match inspection.database {
///     Ok(database) => println!("The tables are {:?}.", database.tables),
///     Err(error) => println!("The database cannot be used: {error}"),
/// }
/// if let Some(warning) = inspection.server_key_warning {
///     println!("{warning}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The state of the database, or the reason why the database cannot be used.
    pub database: Result<DatabaseInspection, StartError>,
    /// Whether the server key exists, or the reason why the key cannot be used. If the key does not exist,
    /// [`Symbolon::open`] creates it.
    pub server_key: Result<bool, StartError>,
    /// A warning about a key that can be used.
    pub server_key_warning: Option<String>,
}

impl Symbolon {
    /// Inspects the database and the server key. Creates neither of them, and changes no data. SQLite may create or update
    /// the file that ends with `-shm` if a file that ends with `-wal` exists.
    ///
    /// ```
    /// use symbolon::{Symbolon, TablesState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let inspection = Symbolon::inspect(&config).await?;
    /// assert_eq!(inspection.database?.tables, TablesState::NoFile);
    /// assert!(!inspection.server_key?);
    ///
    /// Symbolon::open(config.clone()).await?.close().await?;
    /// let inspection = Symbolon::inspect(&config).await?;
    /// assert_eq!(inspection.database?.tables, TablesState::Current);
    /// assert!(inspection.server_key?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database URL is invalid.
    pub async fn inspect(config: &Config) -> Result<Inspection, StartError> {
        let location = parse(config)?;
        let source = key_source(config, &location);
        let warning = source.as_ref().ok().and_then(KeySource::warning);
        let server_key = source.and_then(|source| {
            let key = source.find();
            let key = key.map_err(|error| StartError::ServerKey(error.into()))?;
            Ok(key.is_some())
        });
        Ok(Inspection {
            database: inspect(&location).await.map_err(open_error),
            server_key,
            server_key_warning: warning.map(|warning| warning.to_string()),
        })
    }

    /// Returns the absolute path of the SQLite file, or the URL of the PostgreSQL database without the password.
    ///
    /// ```
    /// use symbolon::{Config, Symbolon};
    ///
    /// let config = Config::new("postgres://app:x7f3k2@db.example.org/notes");
    /// let name = Symbolon::database_name(&config)?;
    /// assert!(name.contains("db.example.org") && !name.contains("x7f3k2"));
    /// # Ok::<(), symbolon::StartError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error without the password if the URL is invalid.
    pub fn database_name(config: &Config) -> Result<String, StartError> {
        Ok(parse(config)?.full_name())
    }
}

/// Parses the database URL.
pub(super) fn parse(config: &Config) -> Result<Location, StartError> {
    let location = Location::parse(&config.database_url.0);
    location.map_err(|error| StartError::Configuration(error.into()))
}

//! The errors of opening an instance.

use std::ops::RangeInclusive;

/// The cause of a [`StartError`].
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The reason why an instance cannot be opened.
///
/// The message is one line. It includes the cause, but no password. [`source`](std::error::Error::source)
/// returns the cause if another library reported it.
///
/// ```
/// use symbolon::{Config, StartError, Symbolon};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// config.token_lifetime = 0;
/// match Symbolon::open(config).await {
///     Err(StartError::OutOfRange { field, range, .. }) => {
///         println!("{field} must be from {} to {}.", range.start(), range.end());
///         # assert_eq!(field, "token_lifetime");
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A number of the configuration is outside its range.
    #[error("{field} is {value}; the range is {} to {}", range.start(), range.end())]
    OutOfRange {
        /// The path of the field in [`Config`](crate::Config), such as `http.body_limit`.
        field: &'static str,
        /// The value of the field.
        value: u64,
        /// The permitted values.
        range: RangeInclusive<u64>,
    },
    /// Another setting is invalid, such as the database URL.
    #[error(transparent)]
    Configuration(Cause),
    /// The threads that hash passwords cannot be started.
    #[error(transparent)]
    Hashing(Cause),
    /// PostgreSQL requires [`Config::secret_key`](crate::Config::secret_key) or
    /// [`Config::secret_key_file`](crate::Config::secret_key_file), but neither is set.
    #[error("PostgreSQL requires a server key, which all instances share")]
    MissingServerKey,
    /// The server key is malformed, or its file cannot be read or created.
    #[error(transparent)]
    ServerKey(Cause),
    /// The database does not exist, cannot be opened, or is not a database of Symbolon.
    #[error(transparent)]
    Database(Cause),
    /// The tables belong to a different version of Symbolon, or cannot be migrated, or a migration of the application
    /// failed.
    #[error(transparent)]
    Migration(Cause),
}

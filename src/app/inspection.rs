//! The inspection of the environment of an instance, without changing anything.

use super::Symbolon;
use super::open::{key_source, open_error};
use crate::config::Config;
use crate::error::StartError;
use crate::store::{DatabaseInspection, Location, inspect};

/// The state of the database and of the server key. Created by [`Symbolon::inspect`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The state of the database, or the reason why the database cannot be used.
    pub database: Result<DatabaseInspection, StartError>,
    /// Whether the server key exists, or the reason why the key cannot be used. If the key does not exist,
    /// [`Symbolon::open`] creates it.
    pub server_key: Result<bool, StartError>,
}

impl Symbolon {
    /// Inspects the database and the server key. Neither creates nor changes them.
    ///
    /// # Errors
    ///
    /// Returns an error if the database URL is invalid.
    pub async fn inspect(config: &Config) -> Result<Inspection, StartError> {
        let location = parse(config)?;
        let server_key = key_source(config, &location).and_then(|source| {
            let key = source.find();
            let key = key.map_err(|error| StartError::ServerKey(error.into()))?;
            Ok(key.is_some())
        });
        Ok(Inspection {
            database: inspect(&location).await.map_err(open_error),
            server_key,
        })
    }

    /// Returns the absolute path of the SQLite file, or the URL of the PostgreSQL database without the password.
    ///
    /// # Errors
    ///
    /// Returns an error without the password if the URL is invalid.
    pub fn database_name(config: &Config) -> Result<String, StartError> {
        Ok(parse(config)?.full_name())
    }
}

fn parse(config: &Config) -> Result<Location, StartError> {
    let location = Location::parse(&config.database_url.0);
    location.map_err(|error| StartError::Configuration(error.into()))
}

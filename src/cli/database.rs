//! The database that a command opens, also while a server uses it.

use std::error::Error;
use std::io::{self, Write};

use clap::Args;
use symbolon::{Config, Operator, Secret, SimilarUsernames, StartError, Symbolon, User};

use super::file_owner;

#[derive(Args, Debug)]
pub(super) struct Database {
    /// URL of the database: sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = Config::default().database_url.reveal().to_owned(),
        global = true,
        hide_env_values = true
    )]
    database_url: Secret,
}

impl Database {
    /// Opens the database, runs `work`, and closes the database. A database that does not exist or lacks a
    /// migration is refused.
    pub(super) async fn with_operator(
        self,
        mut config: Config,
        work: impl AsyncFnOnce(&Operator) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        config.database_url = self.database_url;
        if let Some(file) = Symbolon::database_file(&config).filter(|file| file.exists()) {
            file_owner::check(&file)?;
        }
        let operator = Symbolon::open_operator(config).await?;
        print_name(&operator.database());
        let result = work(&operator).await;
        let closed = operator.close().await;
        result?;
        Ok(closed?)
    }

    /// Creates the database if it does not exist, and migrates it. Returns its name, and the usernames that
    /// are similar to others.
    pub(super) async fn migrate(
        self,
        mut config: Config,
    ) -> Result<(String, SimilarUsernames), Box<dyn Error>> {
        config.database_url = self.database_url;
        let symbolon = create(config).await?;
        let database = symbolon.database();
        print_name(&database);
        let similar = symbolon.operator().similar_usernames().await;
        symbolon.close().await?;
        Ok((database, similar?))
    }
}

/// Opens the database as a server does: creates it if it does not exist, and migrates it.
pub(super) async fn create(config: Config) -> Result<Symbolon, Box<dyn Error>> {
    if let Some(file) = Symbolon::database_file(&config) {
        file_owner::check(&file)?;
    }
    Symbolon::open(config).await.map_err(|error| match error {
        StartError::MissingServerKey => format!(
            "{error}: set SYMBOLON_SECRET_KEY to the key, or SYMBOLON_SECRET_KEY_FILE to a file with it. \
             `openssl rand -base64 32` creates a key"
        )
        .into(),
        error => error.into(),
    })
}

/// Prints the name of the database to standard error; standard output is for data.
fn print_name(database: &str) {
    // The command continues if standard error is closed.
    let _ = writeln!(io::stderr(), "symbolon: database {database}");
}

/// Returns the user with this name, in any spelling that the database considers equal.
pub(super) async fn find_user(operator: &Operator, username: &str) -> Result<User, Box<dyn Error>> {
    let user = operator.user(username).await?;
    // `{:?}` escapes control characters.
    user.ok_or_else(|| format!("there is no user {username:?}").into())
}

//! Opens the database for a command, even while a server is using it.

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
    /// Opens the database, runs `work`, and closes the database. Fails if the database does not exist or was not
    /// migrated to this version.
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

    /// Creates the database if it does not exist, and migrates it. Returns the name of the database, and the
    /// usernames that look alike.
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

/// Opens the database for a server. Creates the database if it does not exist, and migrates it.
pub(super) async fn create(config: Config) -> Result<Symbolon, Box<dyn Error>> {
    if let Some(file) = Symbolon::database_file(&config) {
        file_owner::check(&file)?;
    }
    Symbolon::open(config).await.map_err(|error| match error {
        StartError::MissingServerKey => format!(
            "{error}: set SYMBOLON_SECRET_KEY to the key, or SYMBOLON_SECRET_KEY_FILE to a file that contains the key. \
             `openssl rand -base64 32` creates a key"
        )
        .into(),
        error => error.into(),
    })
}

/// Prints the name of the database to standard error, because scripts read standard output.
fn print_name(database: &str) {
    // The command continues even if standard error is closed.
    let _ = writeln!(io::stderr(), "symbolon: database {database}");
}

/// Returns the user with this name. Names that are equal after PRECIS preparation, for example in another case,
/// match. ASCII whitespace around the name is ignored, as at a sign-in.
pub(super) async fn find_user(operator: &Operator, username: &str) -> Result<User, Box<dyn Error>> {
    let username = username.trim_matches(|c: char| c.is_ascii_whitespace());
    let user = operator.user(username).await?;
    // `{:?}` escapes control characters, which the terminal would interpret.
    user.ok_or_else(|| format!("there is no user {username:?}").into())
}

//! The database that a command works on, beside the server that may be running on it.

use std::error::Error;
use std::io::{self, Write};

use clap::Args;
use symbolon::{Config, Operator, Secret, SimilarUsernames, Symbolon, User};

use super::owner;

/// The rest of the configuration comes from the environment alone: few of its flags would mean
/// anything to a command, and a server on the same database has it there too.
#[derive(Args, Debug)]
pub(super) struct Database {
    /// The database: `sqlite://FILE` or `postgres://…`; only `serve` and `migrate` create it
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://symbolon.db",
        global = true,
        hide_env_values = true
    )]
    database_url: Secret,
}

impl Database {
    fn config(self) -> Result<Config, Box<dyn Error>> {
        let mut config = Config::from_env()?;
        config.database_url = self.database_url;
        Ok(config)
    }

    /// Opens the database for `work`, which only the operator may do, and closes it whatever becomes of
    /// that. A database that does not exist is refused, and so is one that is not up to date.
    pub(super) async fn operate(
        self,
        work: impl AsyncFnOnce(&Operator) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let config = self.config()?;
        if let Some(file) = Symbolon::database_file(&config).filter(|file| file.exists()) {
            owner::check(&file)?;
        }
        let operator = Symbolon::open_operator(config).await?;
        name(&operator.database());
        let done = work(&operator).await;
        let closed = operator.close().await;
        done?;
        Ok(closed?)
    }

    /// Creates the database if it is missing, and brings its tables up to date. Returns which one it is, and
    /// the usernames in it that look alike.
    pub(super) async fn migrate(self) -> Result<(String, SimilarUsernames), Box<dyn Error>> {
        let symbolon = create(self.config()?).await?;
        let database = symbolon.database();
        name(&database);
        let similar = symbolon.operator().similar_usernames().await;
        symbolon.close().await?;
        Ok((database, similar?))
    }
}

/// Opens the database as a server does: it is created if it is missing, and brought up to date.
pub(super) async fn create(config: Config) -> Result<Symbolon, Box<dyn Error>> {
    if let Some(file) = Symbolon::database_file(&config) {
        owner::check(&file)?;
    }
    Ok(Symbolon::open(config).await?)
}

/// Says which database a command uses: on standard error, as standard output is for data.
fn name(database: &str) {
    // A command does its work also where standard error is closed.
    let _ = writeln!(io::stderr(), "symbolon: database {database}");
}

/// Whoever has this name, however it is spelt.
pub(super) async fn named(operator: &Operator, username: &str) -> Result<User, Box<dyn Error>> {
    let user = operator.user(username).await?;
    // In quotes, with what cannot be seen escaped: it is nobody's name.
    user.ok_or_else(|| format!("there is no user {username:?}").into())
}

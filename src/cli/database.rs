//! The database that a command works on, beside the server that may be running on it.

use std::error::Error;

use clap::Args;
use symbolon::{Config, Operator, Secret, Symbolon, User};

/// The rest of the configuration comes from the environment alone: few of its flags would mean
/// anything to a command, and a server on the same database has it there too.
#[derive(Args, Debug)]
pub(super) struct Database {
    /// The database: `sqlite://FILE`, which is made if it is missing, or `postgres://…`
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
    /// Opens the database for `work`, and closes it whatever becomes of that.
    pub(super) async fn open(
        self,
        work: impl AsyncFnOnce(&Symbolon) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut config = Config::from_env()?;
        config.database_url = self.database_url;
        let symbolon = Symbolon::open(config).await?;
        let done = work(&symbolon).await;
        let closed = symbolon.close().await;
        done?;
        Ok(closed?)
    }

    /// The same, for what only the operator may do.
    pub(super) async fn operate(
        self,
        work: impl AsyncFnOnce(&Operator) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        self.open(async |symbolon| work(&symbolon.operator()).await)
            .await
    }
}

/// Whoever has this name, however it is spelt.
pub(super) async fn named(operator: &Operator, username: &str) -> Result<User, Box<dyn Error>> {
    let user = operator.user(username).await?;
    // In quotes, with what cannot be seen escaped: it is nobody's name.
    user.ok_or_else(|| format!("there is no user {username:?}").into())
}

//! Opens the database for a command, even while a server is using it.

use std::error::Error;
use std::io::{self, Write};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use symbolon::{Config, Operator, SimilarUsernames, StartError, Symbolon, User};

use super::file_owner;
use super::settings::{Settings, Source, options};

/// The option of the database of a command.
#[derive(Debug)]
pub(super) struct Database(Settings);

const OPTION: &str = "database-url";

impl Args for Database {
    fn augment_args(command: Command) -> Command {
        command.args(
            options(&[OPTION])
                .into_iter()
                .map(|option| option.global(true)),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Database {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Settings::read(matches, |option| option == OPTION).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Database {
    /// Returns the configuration from `settings`, with the database of this command.
    pub(super) fn complete(self, settings: Settings) -> (Config, Sources) {
        let sources = Sources {
            database_url: self.0.source(OPTION),
            ..Sources::of(&settings)
        };
        let mut config = settings.values.config;
        config.database_url = self.0.values.config.database_url;
        (config, sources)
    }

    /// Opens the database, runs `work`, and closes the database. Fails if the database does not exist or was not
    /// migrated to this version.
    pub(super) async fn with_operator(
        self,
        settings: Settings,
        work: impl AsyncFnOnce(&Operator) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let (config, sources) = self.complete(settings);
        if let Some(file) = Symbolon::database_file(&config).filter(|file| file.exists()) {
            file_owner::check(&file)?;
        }
        let operator = Symbolon::open_operator(config).await;
        let operator = operator.map_err(|error| sources.explain(error))?;
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
        settings: Settings,
    ) -> Result<(String, SimilarUsernames), Box<dyn Error>> {
        let (config, sources) = self.complete(settings);
        let symbolon = create(config, sources).await?;
        let database = symbolon.database();
        print_name(&database);
        let similar = symbolon.operator().similar_usernames().await;
        symbolon.close().await?;
        Ok((database, similar?))
    }
}

/// The sources of the settings whose values are checked when the database is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources {
    database_url: Source,
    secret_key_file: Source,
}

impl Sources {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            database_url: settings.source(OPTION),
            secret_key_file: settings.source("secret-key-file"),
        }
    }

    /// Adds the name of the invalid setting to an error.
    pub(super) fn explain(self, error: StartError) -> Box<dyn Error> {
        match (error, self.database_url, self.secret_key_file) {
            (StartError::MissingServerKey, ..) => format!(
                "{error}: set SYMBOLON_SECRET_KEY to the key, or SYMBOLON_SECRET_KEY_FILE to a file that contains the key. \
                 `openssl rand -base64 32` creates a key",
                error = StartError::MissingServerKey
            )
            .into(),
            // The other settings were checked when they were read.
            (StartError::Configuration(error), url, _) => format!("{url}: {error}").into(),
            (error @ StartError::ServerKey(_), _, Source::Default) => error.into(),
            (error @ StartError::ServerKey(_), _, file) => format!("{file}: {error}").into(),
            (error, ..) => error.into(),
        }
    }
}

/// Opens the database for a server. Creates the database if it does not exist, and migrates it.
pub(super) async fn create(config: Config, sources: Sources) -> Result<Symbolon, Box<dyn Error>> {
    if let Some(file) = Symbolon::database_file(&config) {
        file_owner::check(&file)?;
    }
    let symbolon = Symbolon::open(config).await;
    symbolon.map_err(|error| sources.explain(error))
}

/// Prints the name of the database to standard error, because scripts read standard output.
pub(super) fn print_name(database: &str) {
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

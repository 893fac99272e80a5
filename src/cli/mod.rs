//! The command line, with one file for each subcommand.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

mod audit;
mod backup;
mod database;
mod file_owner;
mod healthcheck;
mod import;
mod migrate;
mod output;
mod prompt;
mod schema;
mod serve;
mod settings;
mod token;
mod user;

use std::error::Error;
use std::io;

use clap::{Parser, Subcommand};
use symbolon::{FieldError, MutationError};

use crate::logging;

/// Token authentication for GraphQL
///
/// Without a command, `symbolon` serves. It stores its data in the working directory; open
/// http://127.0.0.1:8000/ in a browser.
///
/// Each option has an environment variable. An option has precedence over its variable.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_long_help = ENVIRONMENT,
    // Lines do not break, so that each option has one line of `-h`.
    term_width = 0
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: serve::Serve,
}

const ENVIRONMENT: &str = "Environment variables without an option:
  SYMBOLON_SECRET_KEY
          Server key: base64 of 32 bytes. `openssl rand -base64 32` creates one.
  SYMBOLON_LOG
          Log level: error, warn, info, debug or trace. [default: info]
  SYMBOLON_LOG_FORMAT
          Log format: text or json. [default: text]";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value exists")]
enum Command {
    /// Serve GraphQL and the token endpoints over HTTP
    Serve(serve::Serve),
    /// Create the database if it does not exist, and migrate it
    ///
    /// `serve` migrates the database when it starts. All other commands refuse a database that does not exist, or
    /// that lacks a migration of this version: they do not migrate the database of an older server that still runs.
    Migrate(migrate::Migrate),
    /// Print the GraphQL schema (SDL)
    Schema,
    /// List, add and change users
    ///
    /// The server can run meanwhile.
    User(user::Users),
    /// List and revoke tokens
    ///
    /// The server can run meanwhile.
    Token(token::Token),
    /// Print the audit trail, newest event first
    Audit(audit::Audit),
    /// Copy the SQLite database to a new file
    ///
    /// The server can run meanwhile. The copy does not contain the server key.
    Backup(backup::Backup),
    /// Check that the server is ready
    ///
    /// The exit code is 0 if `/readyz` answers 200, and 1 otherwise.
    Healthcheck(healthcheck::Healthcheck),
}

/// Parses the command line. Prints the error and exits if it is invalid.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// Returns the default filter of the log.
    pub(crate) fn log(&self) -> &'static str {
        match self.command {
            None | Some(Command::Serve(_)) => logging::SERVER_FILTER,
            Some(_) => logging::COMMAND_FILTER,
        }
    }

    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Some(command) = self.command else {
            return self.serve.run().await;
        };
        // Settings without an option of the command come from the environment.
        let config = self.serve.config();
        let result = match command {
            Command::Serve(serve) => return serve.run().await,
            Command::Migrate(migrate) => migrate.run(config).await,
            Command::Schema => schema::run(),
            Command::User(user) => user.run(config).await,
            Command::Token(token) => token.run(config).await,
            Command::Audit(audit) => audit.run(config).await,
            Command::Backup(backup) => backup.run(config).await,
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
        };
        result.or_else(operator_error)
    }
}

/// Returns the error that an operator sees: with the cause of an internal error, and one sentence for each
/// field of an invalid input. A reader that closes standard output, such as `head`, causes no error.
fn operator_error(error: Box<dyn Error>) -> Result<(), Box<dyn Error>> {
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(is_closed) {
        return Ok(());
    }
    let error = match error.downcast::<MutationError>().map(|error| *error) {
        Ok(MutationError::Fields(errors)) => {
            let errors: Vec<_> = errors.iter().map(field_error).collect();
            return Err(errors.join(" ").into());
        }
        Ok(MutationError::Error(error)) => error.into(),
        Err(error) => error,
    };
    Err(match error.downcast_ref() {
        Some(symbolon::Error::Internal(cause)) => cause.to_string().into(),
        _ => error,
    })
}

fn field_error(error: &FieldError) -> String {
    match error.field {
        // The operator has typed a username, and no id.
        "id" => error.message.clone().into_owned(),
        "newPassword" => format!("password: {}", error.message),
        field => format!("{field}: {}", error.message),
    }
}

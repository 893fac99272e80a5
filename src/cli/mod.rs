//! The command line: one module for each subcommand.
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
/// Without a command, `symbolon` starts the server. The server stores its data in the working directory. To use
/// the API explorer, open http://127.0.0.1:8000/ in a browser.
///
/// Each option can also be set by an environment variable. The option has precedence over the variable.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_long_help = ENVIRONMENT,
    // No line wrapping, so that `-h` prints one line for each option.
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
          Server key: 32 random bytes, encoded in base64. `openssl rand -base64 32` creates a key.
  SYMBOLON_LOG
          Log level: error, warn, info, debug or trace. [default: info]
  SYMBOLON_LOG_FORMAT
          Log format: text or json. [default: text]";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "the program creates one value")]
enum Command {
    /// Start the server, which provides the GraphQL API and the token endpoints over HTTP
    Serve(serve::Serve),
    /// Create the database if it does not exist, and migrate the database
    ///
    /// `serve` migrates the database when it starts. All other commands fail if the database does not exist or
    /// was not migrated to this version. These commands do not migrate the database, because an older server
    /// may still be using the database.
    Migrate(migrate::Migrate),
    /// Print the GraphQL schema (SDL)
    Schema,
    /// List, add and change users
    ///
    /// The command can be used while the server is running.
    User(user::Users),
    /// List and revoke tokens
    ///
    /// The command can be used while the server is running.
    Token(token::Token),
    /// Print the audit trail, newest event first
    Audit(audit::Audit),
    /// Copy the SQLite database to a new file
    ///
    /// The command can be used while the server is running. The copy does not contain the server key.
    Backup(backup::Backup),
    /// Check that the server is ready
    ///
    /// The exit code is 0 if the server responds to `/readyz` with status 200, and 1 otherwise.
    Healthcheck(healthcheck::Healthcheck),
}

/// Parses the command line. If the command line is invalid, prints an error and exits.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// Returns the default log filter.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self.command {
            None | Some(Command::Serve(_)) => logging::SERVER_FILTER,
            Some(_) => logging::COMMAND_FILTER,
        }
    }

    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Some(command) = self.command else {
            return self.serve.run().await;
        };
        // Subcommands have few options. All other settings of a subcommand come from the environment.
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

/// Converts an error of a command to the error that the program prints. The message of an internal error is its
/// cause, and the message of invalid input has a sentence for each invalid field. A closed standard output, as
/// after `symbolon audit | head`, is not an error.
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
        // The operator typed a username, so the message must not mention an id.
        "id" => error.message.clone().into_owned(),
        "newPassword" => format!("password: {}", error.message),
        field => format!("{field}: {}", error.message),
    }
}

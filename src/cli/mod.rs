//! The command line, one file for each subcommand.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

mod audit;
mod backup;
mod database;
mod healthcheck;
mod import;
mod migrate;
mod output;
mod owner;
mod prompt;
mod schema;
mod serve;
mod token;
mod user;

use std::error::Error;
use std::io;

use clap::{Parser, Subcommand};
use symbolon::{FieldError, MutationError};

use crate::telemetry;

/// Token authentication for GraphQL: trade username and password for a temporary opaque token.
///
/// Without a command it serves, with everything it needs in the working directory: open
/// http://127.0.0.1:8000/ in a browser. What is not given here is taken from the environment; the server
/// key (SYMBOLON_SECRET_KEY) and what the log is like (SYMBOLON_LOG: error, warn, info, debug or
/// trace; SYMBOLON_LOG_FORMAT: text or json) from there only.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Command {
    /// Serve GraphQL and the token endpoints over HTTP
    Serve(serve::Serve),
    /// Create the database if it is missing, bring its tables up to date, and stop
    ///
    /// `serve` does the same when it starts. The other commands never change the tables: they refuse a
    /// database that does not exist, and one that lacks a migration of their version. So a program of a
    /// newer version does not migrate the database of an older server that still runs.
    Migrate(migrate::Migrate),
    /// Print the GraphQL schema (SDL)
    Schema,
    /// Add, list and change accounts, also while the server runs
    User(user::Users),
    /// List and end tokens, also while the server runs
    Token(token::Token),
    /// Show what happened to accounts and tokens, the newest first
    Audit(audit::Audit),
    /// Copy the SQLite database into a new file, also while the server runs
    Backup(backup::Backup),
    /// Ask the server whether it is ready, for containers and the like
    Healthcheck(healthcheck::Healthcheck),
}

/// Reads the command line; explains and exits when it makes no sense.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// What its log holds unless the environment says otherwise.
    pub(crate) fn log(&self) -> &'static str {
        match self.command {
            None | Some(Command::Serve(_)) => telemetry::OF_A_SERVER,
            Some(_) => telemetry::OF_A_COMMAND,
        }
    }

    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let done = match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(serve) => return serve.run().await,
            Command::Migrate(migrate) => migrate.run().await,
            Command::Schema => schema::run(),
            Command::User(user) => user.run().await,
            Command::Token(token) => token.run().await,
            Command::Audit(audit) => audit.run().await,
            Command::Backup(backup) => backup.run().await,
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
        };
        done.or_else(told)
    }
}

/// What the operator has to know of an error, which is more than clients do.
fn told(error: Box<dyn Error>) -> Result<(), Box<dyn Error>> {
    // Whoever reads standard output, as `head` does, may stop.
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(is_closed) {
        return Ok(());
    }
    let refused = error.downcast_ref::<MutationError>();
    let cause = match refused {
        Some(MutationError::Fields(errors)) => {
            let errors: Vec<_> = errors.iter().map(field).collect();
            return Err(errors.join(" ").into());
        }
        Some(MutationError::Error(error)) => Some(error),
        None => error.downcast_ref(),
    };
    Err(match cause {
        Some(symbolon::Error::Internal(cause)) => cause.to_string().into(),
        _ => error,
    })
}

fn field(error: &FieldError) -> String {
    match error.field {
        // Nobody typed it.
        "id" => error.message.clone().into_owned(),
        "newPassword" => format!("password: {}", error.message),
        field => format!("{field}: {}", error.message),
    }
}

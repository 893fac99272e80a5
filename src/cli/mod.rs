//! The command line, one file for each subcommand.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

mod database;
mod healthcheck;
mod migrate;
mod schema;
mod serve;

use std::error::Error;

use clap::{Parser, Subcommand};

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
    /// Bring the tables of the database up to date, and stop; `serve` does it by itself
    Migrate(migrate::Migrate),
    /// Print the GraphQL schema (SDL)
    Schema,
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
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(serve) => serve.run().await,
            Command::Migrate(migrate) => migrate.run().await,
            Command::Schema => schema::run(),
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
        }
    }
}

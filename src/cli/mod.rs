//! The command line: one module for each subcommand.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

mod audit;
mod backup;
mod check;
mod check_row;
mod completions;
mod copy;
mod database;
pub(crate) mod environment;
mod file_owner;
mod healthcheck;
mod import;
mod listen;
mod migrate;
mod output;
mod port_checks;
mod prompt;
mod restore;
mod schema;
mod serve;
mod settings;
mod token;
mod user;

use std::env;
use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use symbolon::{FieldError, MutationError};

use crate::logging;

/// Token authentication for GraphQL
///
/// Without a command, `symbolon` starts the server. The server stores its data in the working directory. To use
/// the API explorer, open http://127.0.0.1:8000/ in a browser.
///
/// Each option can also be set by an environment variable. The option has precedence over the variable. An empty
/// variable counts as unset. Booleans are `on`, `true`, `yes` or `1`, and `off`, `false`, `no` or `0`. `symbolon check`
/// prints all settings.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_long_help = ENVIRONMENT,
    // No line wrapping, so that `-h` prints one line for each option.
    term_width = 0
)]
pub(crate) struct Cli {
    // This field is the first one, because the settings that are read depend on the subcommand, which clap removes
    // when it parses the field `command`.
    #[command(flatten)]
    serve: serve::Serve,

    #[command(subcommand)]
    command: Option<Command>,
}

const ENVIRONMENT: &str = "Environment variables without an option:
  SYMBOLON_SECRET_KEY
          Server key: 32 random bytes, encoded in base64. `openssl rand -base64 32` creates a key.
  SYMBOLON_LOG
          Log level: off, error, warn, info, debug or trace; or a list such as info,symbolon=debug.
          Without a level of their own, the targets that a list does not name have the level warn.
          The libraries that Symbolon uses log at most at the level debug. [default: info]
  SYMBOLON_LOG_FORMAT
          Log format: text or json. [default: text]
  SYMBOLON_COPY_TO
          URL of the database to which `symbolon copy` copies. Other commands and the server do not use it.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server, which provides the GraphQL API and the token endpoints over HTTP
    Serve(serve::Serve),
    /// Create the database if it does not exist, and migrate the database
    ///
    /// `serve` migrates the database when it starts. All other commands fail if the database does not exist or
    /// was not migrated to this version. These commands do not migrate the database, because an older server
    /// may still be using the database.
    Migrate(migrate::Migrate),
    /// Print the settings that a server would have in this environment, and check the environment
    ///
    /// The command checks the database, the server key, the clock, the free space and the ports. It creates no
    /// database and no key, and changes no data. The exit code is 1 if a check fails.
    Check(check::Check),
    /// Print the GraphQL schema (SDL)
    Schema,
    /// Print the completion script of a shell
    ///
    /// To use the script in bash, add the line `source <(symbolon completions bash)` to the file ~/.bashrc.
    Completions(completions::Completions),
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
    /// Replace the SQLite database by a backup, and revoke all tokens
    ///
    /// Stop the server first. Users, passwords, roles and the audit trail return to the state of the backup. The command
    /// migrates a backup of an older version. It keeps the replaced database in a file whose name ends with
    /// `.before-restore-N`.
    Restore(restore::Restore),
    /// Copy all data to an empty database: from SQLite to PostgreSQL, or from PostgreSQL to SQLite
    ///
    /// Stop the server first. The variable SYMBOLON_COPY_TO contains the URL of the target. The command creates the tables
    /// of the target. It copies all users, tokens, rate limits and the audit trail in one transaction, and compares the copy
    /// with its source before the commit. The target must be empty. Tokens stay valid if the servers use the same server
    /// key. The command copies neither the key nor tables of other programs.
    Copy(copy::Copy),
    /// Check that the server is ready
    ///
    /// The exit code is 0 if the server responds to `/readyz` with status 200, and 1 otherwise. If the server listens on
    /// 0.0.0.0 or ::, the command connects to the loopback address.
    Healthcheck(healthcheck::Healthcheck),
}

/// Parses the command line. If the command line or a variable is invalid, prints an error and returns the exit code.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        // The parsed command line does not exist. Options before a subcommand belong to the server.
        let first = env::args_os().nth(1);
        let first = first.map(|first| first.to_string_lossy().into_owned());
        let is_server = first.is_none_or(|first| first == "serve" || first.starts_with('-'));
        if error.use_stderr() && is_server && logging::is_json() {
            let text = error.render().to_string();
            let message = text.split("\n\nUsage:").next().unwrap_or_default();
            let message = message.strip_prefix("error: ").unwrap_or(message);
            logging::write_last_error(&message.trim_end(), is_server);
        } else {
            // If the stream is closed, nothing can be printed.
            let _ = error.print();
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
    })
}

impl Cli {
    /// Returns whether the command starts the server.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve(_)))
    }

    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let unused = environment::UnusedVariables::find(&settings::variables());
        if !matches!(self.command, Some(Command::Check(_))) {
            unused.log();
        }
        let Some(command) = self.command else {
            return self.serve.run().await;
        };
        // Subcommands have few options. All other settings of a subcommand come from the environment.
        let settings = self.serve.settings;
        let result = match command {
            Command::Serve(serve) => return serve.run().await,
            Command::Migrate(migrate) => migrate.run(settings).await,
            Command::Check(check) => check.run(&unused).await,
            Command::Schema => schema::run(),
            Command::Completions(completions) => completions.run(&mut Self::command()),
            Command::User(user) => user.run(settings).await,
            Command::Token(token) => token.run(settings).await,
            Command::Audit(audit) => audit.run(settings).await,
            Command::Backup(backup) => backup.run(settings).await,
            Command::Restore(restore) => restore.run(settings).await,
            Command::Copy(copy) => copy.run(settings).await,
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

//! `symbolon token`

use std::error::Error;

use clap::{Args, Subcommand};
use serde::Serialize;
use symbolon::{LiveSession, Operator};

use super::database::{Database, named};
use super::output::{Entry, Instant, Output};

#[derive(Args, Debug)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the session tokens that are live, each by the start of its digest
    List,
    /// End every token of a user; a running server refuses them from the next request on
    Revoke {
        /// The user, however the name is spelt
        username: String,
    },
    /// Forget the tokens that are dead; they are then answered TOKEN_INVALID instead of TOKEN_EXPIRED
    Purge,
}

impl Token {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Self {
            command,
            database,
            output,
        } = self;
        database
            .operate(async |operator| match command {
                Command::List => list(operator, &output).await,
                Command::Revoke { username } => revoke(operator, &output, &username).await,
                Command::Purge => purge(operator, &output).await,
            })
            .await
    }
}

/// A live session, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session<'a> {
    user_id: String,
    username: &'a str,
    token: &'a str,
    expires_at: Instant,
}

impl<'a> From<&'a LiveSession> for Session<'a> {
    fn from(session: &'a LiveSession) -> Self {
        Self {
            user_id: session.user.id.to_string(),
            username: &session.user.username,
            token: &session.token,
            expires_at: Instant(session.expires_at),
        }
    }
}

impl Entry for Session<'_> {
    const COLUMNS: &'static [&'static str] = &["username", "token", "expires"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.username.to_owned(),
            self.token.to_owned(),
            self.expires_at.to_string(),
        ]
    }
}

async fn list(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let mut lines = output.list();
    let mut after = None;
    loop {
        let sessions = operator.sessions(after).await?;
        lines.print(&sessions.iter().map(Session::from).collect::<Vec<_>>())?;
        let Some(last) = sessions.last() else {
            return Ok(());
        };
        after = Some(last.user.id);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended<'a> {
    user_id: String,
    username: &'a str,
    revoked: u32,
}

async fn revoke(
    operator: &Operator,
    output: &Output,
    username: &str,
) -> Result<(), Box<dyn Error>> {
    let user = named(operator, username).await?;
    let revoked = operator.revoke_tokens(user.id).await?;
    let username = &user.username;
    let sentence = format!("live tokens of {username} revoked: {revoked}");
    let user_id = user.id.to_string();
    let done = Ended {
        user_id,
        username,
        revoked,
    };
    Ok(output.tell(&done, &sentence)?)
}

#[derive(Serialize)]
struct Forgotten {
    purged: u64,
}

async fn purge(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let purged = operator.purge().await?;
    let sentence = format!("dead tokens forgotten: {purged}");
    Ok(output.tell(&Forgotten { purged }, &sentence)?)
}

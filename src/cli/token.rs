//! `symbolon token`

use std::error::Error;

use clap::{Args, Subcommand};
use serde::Serialize;
use symbolon::{LiveToken, Operator};

use super::database::{Database, named};
use super::output::{Entry, Instant, Output, or_dash};
use super::prompt;

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
    /// List the tokens that are live, session tokens before access tokens, each by the start of its digest
    List,
    /// End every token of a user, or of all users; a running server refuses them from the next request on
    Revoke {
        #[command(flatten)]
        whose: Whose,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Forget the tokens that are dead; they are then answered TOKEN_INVALID instead of TOKEN_EXPIRED
    Purge,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The user, however the name is spelt
    username: Option<String>,

    /// End the sessions and the access tokens of all users, for example after a leak
    #[arg(long)]
    all: bool,
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
                Command::Revoke { whose, yes } => match whose.username {
                    Some(username) => revoke(operator, &output, &username).await,
                    None => revoke_all(operator, &output, yes).await,
                },
                Command::Purge => purge(operator, &output).await,
            })
            .await
    }
}

/// A live token, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Live<'a> {
    user_id: String,
    username: &'a str,
    name: Option<&'a str>,
    token: &'a str,
    expires_at: Option<Instant>,
}

impl<'a> From<&'a LiveToken> for Live<'a> {
    fn from(live: &'a LiveToken) -> Self {
        Self {
            user_id: live.user.id.to_string(),
            username: &live.user.username,
            name: live.name.as_deref(),
            token: &live.token,
            expires_at: live.expires_at.map(Instant),
        }
    }
}

impl Entry for Live<'_> {
    const COLUMNS: &'static [&'static str] = &["username", "name", "token", "expires"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.username.to_owned(),
            or_dash(self.name),
            self.token.to_owned(),
            or_dash(self.expires_at),
        ]
    }
}

async fn list(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let mut lines = output.list();
    let mut after = None;
    loop {
        let sessions = operator.sessions(after).await?;
        lines.print(&sessions.iter().map(Live::from).collect::<Vec<_>>())?;
        let Some(last) = sessions.last() else {
            break;
        };
        after = Some(last.user.id);
    }
    let mut after = None;
    loop {
        let tokens = operator.access_tokens(after).await?;
        if tokens.is_empty() {
            return Ok(());
        }
        lines.print(&tokens.iter().map(Live::from).collect::<Vec<_>>())?;
        after = tokens.last().and_then(|last| last.id);
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
struct AllEnded {
    revoked: u64,
}

async fn revoke_all(operator: &Operator, output: &Output, yes: bool) -> Result<(), Box<dyn Error>> {
    if !yes {
        if !prompt::is_attended() {
            let why =
                "standard input is not a terminal; --yes revokes all tokens without a question";
            return Err(why.into());
        }
        if !prompt::confirm("end the sessions and access tokens of all users?")? {
            return Err("no token is revoked".into());
        }
    }
    let revoked = operator.revoke_all_tokens().await?;
    let sentence = format!("live tokens of all users revoked: {revoked}");
    Ok(output.tell(&AllEnded { revoked }, &sentence)?)
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

//! `symbolon token`

use std::error::Error;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use symbolon::{LiveToken, Operator, TokenType};

use super::database::{Database, find_user};
use super::output::{Output, Row, Timestamp, or_dash};
use super::prompt;
use super::settings::Settings;

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
    /// List the live tokens, each identified by the first characters of its digest
    ///
    /// A token is live if it is valid and its user is enabled. Shared sessions are listed first, then device sessions, and
    /// then access tokens.
    List,
    /// Revoke all tokens of a user, or of all users, including unused one-time links
    ///
    /// A running server refuses a revoked token from the next request on, or, with PostgreSQL, after at most 1.25 s.
    Revoke {
        #[command(flatten)]
        owner: TokenOwner,

        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Delete expired and revoked session tokens
    ///
    /// After the deletion, the server refuses these tokens with TOKEN_INVALID instead of TOKEN_EXPIRED. The command
    /// also deletes other expired data, such as access tokens and one-time links that expired more than 30 days ago.
    Purge,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct TokenOwner {
    /// User whose tokens are revoked
    username: Option<String>,

    /// Revoke the session tokens, access tokens and unused one-time links of all users, for example after a leak
    #[arg(long)]
    all: bool,
}

impl Token {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let output = self.output;
        let work = async |operator: &Operator| match self.command {
            Command::List => list(operator, &output).await,
            Command::Revoke { owner, yes } => match owner.username {
                Some(username) => revoke(operator, &output, &username).await,
                None => revoke_all(operator, &output, yes).await,
            },
            Command::Purge => {
                let purged = operator.purge().await?;
                let sentence = format!("expired and revoked session tokens deleted: {purged}");
                Ok(output.print_result(&json!({ "purged": purged }), &sentence)?)
            }
        };
        self.database.with_operator(settings, work).await
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenRow<'a> {
    user_id: String,
    username: &'a str,
    #[serde(rename = "type")]
    token_type: &'static str,
    name: Option<&'a str>,
    token: &'a str,
    expires_at: Option<Timestamp>,
}

impl<'a> From<&'a LiveToken> for TokenRow<'a> {
    fn from(token: &'a LiveToken) -> Self {
        Self {
            user_id: token.user.id.to_string(),
            username: &token.user.username,
            token_type: match token.token_type {
                TokenType::SharedSession => "session",
                TokenType::DeviceSession => "device session",
                _ => "access token",
            },
            name: token.name.as_deref(),
            token: &token.token,
            expires_at: token.expires_at.map(Timestamp),
        }
    }
}

impl Row for TokenRow<'_> {
    const COLUMNS: &'static [&'static str] = &["username", "type", "name", "token", "expires"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.username.to_owned(),
            self.token_type.to_owned(),
            or_dash(self.name),
            self.token.to_owned(),
            or_dash(self.expires_at),
        ]
    }
}

async fn list(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let mut table = output.table();
    let mut after = None;
    loop {
        let sessions = operator.sessions(after).await?;
        table.print(&sessions.iter().map(TokenRow::from).collect::<Vec<_>>())?;
        let Some(last) = sessions.last() else {
            break;
        };
        after = Some(last.user.id);
    }
    let mut after = None;
    loop {
        let sessions = operator.device_sessions(after).await?;
        table.print(&sessions.iter().map(TokenRow::from).collect::<Vec<_>>())?;
        let Some(last) = sessions.last() else {
            break;
        };
        after = last.id;
    }
    let mut after = None;
    loop {
        let tokens = operator.access_tokens(after).await?;
        table.print(&tokens.iter().map(TokenRow::from).collect::<Vec<_>>())?;
        let Some(last) = tokens.last() else {
            return Ok(());
        };
        after = last.id;
    }
}

async fn revoke(
    operator: &Operator,
    output: &Output,
    username: &str,
) -> Result<(), Box<dyn Error>> {
    let user = find_user(operator, username).await?;
    let revoked = operator.revoke_tokens(user.id).await?;
    let username = &user.username;
    let value = json!({ "userId": user.id.to_string(), "username": username, "revoked": revoked });
    let sentence = format!("live tokens of {username} revoked: {revoked}");
    Ok(output.print_result(&value, &sentence)?)
}

async fn revoke_all(operator: &Operator, output: &Output, yes: bool) -> Result<(), Box<dyn Error>> {
    let question =
        "revoke the session tokens, access tokens and unused one-time links of all users?";
    prompt::confirm(yes, question, "no token is revoked")?;
    let revoked = operator.revoke_all_tokens().await?;
    let sentence = format!("live tokens of all users revoked: {revoked}");
    Ok(output.print_result(&json!({ "revoked": revoked }), &sentence)?)
}

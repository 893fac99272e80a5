//! `symbolon user`

use std::error::Error;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::Serialize;
use symbolon::{Invitation, OneTimeLink, Operator, Registration, Role, User};

use super::database::{Database, find_user};
use super::import::Import;
use super::output::{Output, Row, Timestamp, or_dash};
use super::prompt;
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Users {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a user, even if registration is closed
    ///
    /// The command asks for the password on a terminal. If standard input is not a terminal, the command reads the
    /// password from the first line of standard input.
    Add(Add),
    /// Import users from another system, with their passwords or password hashes
    ///
    /// The import does not change existing users, so the import can be repeated. Invalid rows are reported and not
    /// imported.
    Import(Import),
    /// List all users
    List,
    /// Show one user
    Show(Username),
    /// Set a new password for a user, and revoke all tokens of the user
    ///
    /// The command asks for the password on a terminal. If standard input is not a terminal, the command reads the
    /// password from the first line of standard input.
    SetPassword(Username),
    /// Create a link with which a user can replace a forgotten password
    ///
    /// The last unused reset link of the user becomes invalid. The command requires SYMBOLON_PUBLIC_URL or
    /// SYMBOLON_RESET_PAGE.
    ResetLink(Username),
    /// Create a user without a password, and a link with which the user chooses the password
    ///
    /// If the user has been invited before and has never had a password, the command only creates a new link, and the
    /// previous link becomes invalid. The command requires SYMBOLON_PUBLIC_URL.
    Invite(Invite),
    /// Set the role of a user
    SetRole {
        #[command(flatten)]
        user: Username,

        /// The new role
        #[arg(ignore_case = true, value_parser = role())]
        role: Role,
    },
    /// Disable a user, and revoke all tokens of the user
    Disable(Username),
    /// Enable a disabled user
    Enable(Username),
    /// Delete a user
    Delete {
        #[command(flatten)]
        user: Username,

        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
struct Add {
    /// Name of the new user, 1 to 64 characters
    username: String,

    /// E-mail address of the new user. The address is not verified
    #[arg(long)]
    email: Option<String>,

    /// Assign the role admin to the user
    #[arg(long)]
    admin: bool,
}

#[derive(Args, Debug)]
struct Invite {
    /// Name of the user, 1 to 64 characters
    username: String,

    /// E-mail address of the user. The address is not verified
    #[arg(long)]
    email: Option<String>,

    /// Assign the role admin to the user
    #[arg(long)]
    admin: bool,
}

#[derive(Args, Debug)]
struct Username {
    /// Name of the user
    username: String,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["user", "admin"]).map(|name| {
        if name.eq_ignore_ascii_case("admin") {
            Role::Admin
        } else {
            Role::User
        }
    })
}

impl Users {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let work = async |operator: &Operator| self.command.run(operator, &self.output).await;
        self.database.with_operator(settings, work).await
    }
}

impl Command {
    async fn run(self, operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
        let find = async |user: Username| find_user(operator, &user.username).await;
        let (user, change) = match self {
            Self::Add(new) => (new.run(operator).await?, "is added"),
            Self::Import(import) => return import.run(operator, output).await,
            Self::List => return list(operator, output).await,
            Self::Show(user) => return Ok(output.print_row(&UserRow::from(&find(user).await?))?),
            Self::SetPassword(user) => {
                let id = find(user).await?.id;
                let password = prompt::read_new_password()?;
                let user = operator.set_password(id, &password).await?;
                (user, "has a new password; all tokens are revoked")
            }
            Self::ResetLink(user) => {
                let created = operator.create_reset_link(find(user).await?.id).await?;
                return print_link(created, output);
            }
            Self::Invite(Invite {
                username,
                email,
                admin,
            }) => {
                let invitation = Invitation {
                    username,
                    email,
                    role: admin.then_some(Role::Admin),
                };
                return print_link(operator.invite(&invitation).await?, output);
            }
            Self::SetRole { user, role } => {
                let user = operator.set_role(find(user).await?.id, role).await?;
                let change = match role {
                    Role::User => "is a user",
                    Role::Admin => "is an admin",
                };
                (user, change)
            }
            Self::Disable(user) => {
                let user = operator.disable(find(user).await?.id).await?;
                (user, "is disabled; all tokens are revoked")
            }
            Self::Enable(user) => {
                let user = operator.enable(find(user).await?.id).await?;
                (user, "is enabled")
            }
            Self::Delete { user, yes } => {
                let user = find(user).await?;
                let question = format!("delete {}?", user.username);
                prompt::confirm(yes, &question, "nothing is deleted")?;
                operator.delete(user.id).await?;
                (user, "is deleted")
            }
        };
        let sentence = format!("{} {change}", user.username);
        Ok(output.print_result(&UserRow::from(&user), &sentence)?)
    }
}

impl Add {
    async fn run(self, operator: &Operator) -> Result<User, Box<dyn Error>> {
        let new = Registration {
            username: self.username,
            email: self.email,
            password: prompt::read_new_password()?,
        };
        let role = if self.admin { Role::Admin } else { Role::User };
        Ok(operator.add_user(&new, role).await?)
    }
}

/// Prints a link to standard output, the URL on a line of its own.
fn print_link((user, link): (User, OneTimeLink), output: &Output) -> Result<(), Box<dyn Error>> {
    let expires_at = Timestamp(link.expires_at);
    let row = LinkRow {
        user_id: user.id.to_string(),
        username: &user.username,
        url: link.url(),
        token: link.token(),
        expires_at,
    };
    let sentence = format!(
        "{}\nsend this link to {} only; it expires at {expires_at} and can be used once",
        link.url(),
        user.username
    );
    Ok(output.print_result(&row, &sentence)?)
}

/// A link, serialized with the field names of the GraphQL type `OneTimeLink`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkRow<'a> {
    user_id: String,
    username: &'a str,
    url: &'a str,
    token: &'a str,
    expires_at: Timestamp,
}

async fn list(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let mut table = output.table();
    let mut after = None;
    loop {
        let users = operator.users(after).await?;
        table.print(&users.iter().map(UserRow::from).collect::<Vec<_>>())?;
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = Some(last.id);
    }
}

/// A user, serialized with the field names and values of the GraphQL type `User`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRow<'a> {
    id: String,
    username: &'a str,
    email: Option<&'a str>,
    role: &'static str,
    created_at: Timestamp,
    last_sign_in_at: Option<Timestamp>,
    disabled_at: Option<Timestamp>,
    #[serde(skip)]
    has_password: bool,
}

impl<'a> From<&'a User> for UserRow<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            username: &user.username,
            email: user.email.as_deref(),
            role: user.role.name(),
            created_at: Timestamp(user.created_at),
            last_sign_in_at: user.last_sign_in_at.map(Timestamp),
            disabled_at: user.disabled_at.map(Timestamp),
            has_password: user.has_password,
        }
    }
}

impl Row for UserRow<'_> {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "username",
        "role",
        "state",
        "created",
        "last sign-in",
        "email",
    ];

    fn cells(&self) -> Vec<String> {
        let state = match (self.disabled_at, self.has_password) {
            (Some(_), _) => "disabled",
            (None, false) => "invited",
            (None, true) => "active",
        };
        vec![
            self.id.clone(),
            self.username.to_owned(),
            self.role.to_lowercase(),
            state.to_owned(),
            self.created_at.to_string(),
            or_dash(self.last_sign_in_at),
            or_dash(self.email),
        ]
    }
}

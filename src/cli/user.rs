//! `symbolon user`

use std::error::Error;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::Serialize;
use symbolon::{Operator, Registration, Role, User};

use super::database::{Database, named};
use super::import::Import;
use super::output::{Entry, Instant, Output, or_dash};
use super::prompt;

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
    /// Add an account, even where registration is closed
    ///
    /// The password is asked for on a terminal, and otherwise read from standard input, which has it
    /// in a line.
    Add(Add),
    /// Take over the users of another system, with their passwords or hashes
    ///
    /// Those that exist are left as they are, so it can simply be run again. Rows that cannot be accounts
    /// are told, and the others kept.
    Import(Import),
    /// List all accounts
    List,
    /// Show an account
    Show(Whom),
    /// Give an account another password, and end its tokens
    ///
    /// The password is asked for on a terminal, and otherwise read from standard input, which has it
    /// in a line.
    SetPassword(Whom),
    /// Give an account another role
    SetRole {
        #[command(flatten)]
        whom: Whom,

        /// What the account may do
        #[arg(ignore_case = true, value_parser = role())]
        role: Role,
    },
    /// Let nobody sign in to an account any more, and end its tokens
    Disable(Whom),
    /// Let people sign in to an account again
    Enable(Whom),
    /// Delete an account
    Delete {
        #[command(flatten)]
        whom: Whom,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
struct Add {
    /// The name, 1 to 64 characters
    username: String,

    /// The e-mail address; it is not verified
    #[arg(long)]
    email: Option<String>,

    /// Let the account do whatever concerns any account; so the first admin is made
    #[arg(long)]
    admin: bool,
}

#[derive(Args, Debug)]
struct Whom {
    /// The user, however the name is spelt
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
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Self {
            command,
            database,
            output,
        } = self;
        database
            .operate(async |operator| command.run(operator, &output).await)
            .await
    }
}

impl Command {
    async fn run(self, operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
        let find = async |whom: Whom| named(operator, &whom.username).await;
        let (user, what) = match self {
            Self::Add(new) => (new.run(operator).await?, "is added"),
            Self::Import(import) => return import.run(operator, output).await,
            Self::List => return list(operator, output).await,
            Self::Show(whom) => return Ok(output.show(&UserRecord::from(&find(whom).await?))?),
            Self::SetPassword(whom) => {
                let id = find(whom).await?.id;
                let password = prompt::new_password()?;
                let user = operator.set_password(id, &password).await?;
                (user, "has another password, and no tokens any more")
            }
            Self::SetRole { whom, role } => {
                let user = operator.set_role(find(whom).await?.id, role).await?;
                let what = match role {
                    Role::User => "is a user",
                    Role::Admin => "is an admin",
                };
                (user, what)
            }
            Self::Disable(whom) => {
                let user = operator.disable(find(whom).await?.id).await?;
                (user, "is disabled, and has no tokens any more")
            }
            Self::Enable(whom) => {
                let user = operator.enable(find(whom).await?.id).await?;
                (user, "may sign in")
            }
            Self::Delete { whom, yes } => {
                let user = find(whom).await?;
                if !yes {
                    confirm_deletion(&user)?;
                }
                operator.delete(user.id).await?;
                (user, "is deleted")
            }
        };
        let sentence = format!("{} {what}", user.username);
        Ok(output.tell(&UserRecord::from(&user), &sentence)?)
    }
}

impl Add {
    async fn run(self, operator: &Operator) -> Result<User, Box<dyn Error>> {
        let new = Registration {
            username: self.username,
            email: self.email,
            password: prompt::new_password()?,
        };
        let role = if self.admin { Role::Admin } else { Role::User };
        Ok(operator.add_user(&new, role).await?)
    }
}

fn confirm_deletion(user: &User) -> Result<(), Box<dyn Error>> {
    if !prompt::is_attended() {
        return Err("nobody can be asked here; --yes deletes without asking".into());
    }
    if !prompt::confirm(&format!("delete {}?", user.username))? {
        return Err("nothing is deleted".into());
    }
    Ok(())
}

async fn list(operator: &Operator, output: &Output) -> Result<(), Box<dyn Error>> {
    let mut lines = output.list();
    let mut after = None;
    loop {
        let users = operator.users(after).await?;
        lines.print(&users.iter().map(UserRecord::from).collect::<Vec<_>>())?;
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = Some(last.id);
    }
}

/// An account, as it is printed: the names and values that GraphQL has too.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRecord<'a> {
    id: String,
    username: &'a str,
    email: Option<&'a str>,
    role: &'static str,
    created_at: Instant,
    last_sign_in_at: Option<Instant>,
    disabled_at: Option<Instant>,
}

impl<'a> From<&'a User> for UserRecord<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            username: &user.username,
            email: user.email.as_deref(),
            role: match user.role {
                Role::User => "USER",
                Role::Admin => "ADMIN",
            },
            created_at: Instant(user.created_at),
            last_sign_in_at: user.last_sign_in_at.map(Instant),
            disabled_at: user.disabled_at.map(Instant),
        }
    }
}

impl Entry for UserRecord<'_> {
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
        let state = if self.disabled_at.is_some() {
            "disabled"
        } else {
            "active"
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

//! `symbolon audit`

use std::collections::hash_map::{Entry, HashMap};
use std::error::Error;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use symbolon::{
    ActorType, AuditEvent, AuditEventKind, CredentialType, EventFilter, Operator, Role, UserId,
};

use super::database::{Database, named};
use super::output::{self, Instant, Output, or_dash};

#[derive(Args, Debug)]
pub(super) struct Audit {
    /// Only what happened to this user, however the name is spelt
    #[arg(long, value_name = "USERNAME", conflicts_with = "user_id")]
    user: Option<String>,

    /// Only what happened to the account with this number, which may be deleted by now
    #[arg(long, value_name = "ID")]
    user_id: Option<UserId>,

    /// Only events of this kind
    #[arg(long, ignore_case = true, value_parser = kind())]
    kind: Option<AuditEventKind>,

    /// How many events at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    output: Output,
}

fn kind() -> impl TypedValueParser<Value = AuditEventKind> {
    let names = AuditEventKind::all().map(AuditEventKind::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let kind = AuditEventKind::from_name(&name.to_ascii_uppercase());
        kind.ok_or("no such kind")
    })
}

impl Audit {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Self {
            user,
            user_id,
            kind,
            limit,
            database,
            output,
        } = self;
        let work = async |operator: &Operator| {
            let user = match user {
                Some(name) => Some(named(operator, &name).await?.id),
                None => user_id,
            };
            let filter = EventFilter { user, kind };
            list(operator, &output, filter, limit).await
        };
        database.operate(work).await
    }
}

/// An event, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    id: String,
    kind: &'static str,
    at: Instant,
    last_at: Instant,
    count: i64,
    user_id: Option<String>,
    actor_type: Option<&'static str>,
    actor_id: Option<String>,
    credential_type: Option<&'static str>,
    credential_id: Option<&'a str>,
    old_role: Option<&'static str>,
    new_role: Option<&'static str>,
    old_username: Option<&'a str>,
    username: Option<&'a str>,
    token: Option<&'a str>,
    address: Option<&'a str>,
    request_id: Option<&'a str>,
    #[serde(skip)]
    user: Option<&'a str>,
    #[serde(skip)]
    actor: Option<&'a str>,
}

impl<'a> Event<'a> {
    fn new(event: &'a AuditEvent, names: &'a Names) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind.name(),
            at: Instant(event.at),
            last_at: Instant(event.last_at),
            count: event.count,
            user_id: event.user.map(|id| id.to_string()),
            actor_type: event.actor_type.map(ActorType::name),
            actor_id: event.actor.map(|id| id.to_string()),
            credential_type: event.credential_type.map(CredentialType::name),
            credential_id: event.credential_id.as_deref(),
            old_role: event.old_role.map(Role::name),
            new_role: event.new_role.map(Role::name),
            old_username: event.old_username.as_deref(),
            username: event.username.as_deref(),
            token: event.token.as_deref(),
            address: event.address.as_deref(),
            request_id: event.request_id.as_deref(),
            user: names.get(event.user),
            actor: names.get(event.actor),
        }
    }
}

impl Event<'_> {
    /// The old and the new role or username, or the username of an account that was deleted.
    fn change(&self) -> Option<String> {
        let roles = self.old_role.zip(self.new_role);
        let usernames = self.old_username.zip(self.username);
        let change = roles.or(usernames);
        let change = change.map(|(old, new)| format!("{old} to {new}"));
        change.or_else(|| self.username.map(str::to_owned))
    }

    /// The account that acted, or else the type of actor.
    fn actor(&self) -> String {
        match (&self.actor_id, self.actor_type) {
            (None, Some(actor)) => actor.to_lowercase(),
            (id, _) => whose(self.actor, id.as_deref()),
        }
    }

    fn credential(&self) -> Option<String> {
        let credential = self.credential_type?.to_lowercase().replace('_', " ");
        let id = self.credential_id.map(|id| format!(" {id}"));
        Some(credential + id.as_deref().unwrap_or_default())
    }
}

impl output::Entry for Event<'_> {
    const COLUMNS: &'static [&'static str] = &[
        "at",
        "kind",
        "user",
        "change",
        "actor",
        "credential",
        "token",
        "address",
        "request",
        "repeated",
    ];

    fn cells(&self) -> Vec<String> {
        let repeated = || format!("{} times until {}", self.count, self.last_at);
        vec![
            self.at.to_string(),
            self.kind.to_owned(),
            whose(self.user, self.user_id.as_deref()),
            or_dash(self.change()),
            self.actor(),
            or_dash(self.credential()),
            or_dash(self.token),
            or_dash(self.address),
            or_dash(self.request_id),
            or_dash((self.count > 1).then(repeated)),
        ]
    }
}

/// An account by name and number; by its number alone once it is deleted.
fn whose(name: Option<&str>, id: Option<&str>) -> String {
    match (name, id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (_, id) => or_dash(id.map(|id| format!("({id})"))),
    }
}

/// What the accounts are called that were looked up so far.
#[derive(Default)]
struct Names(HashMap<UserId, Option<String>>);

impl Names {
    async fn look_up(&mut self, operator: &Operator, id: UserId) -> Result<(), Box<dyn Error>> {
        if let Entry::Vacant(unknown) = self.0.entry(id) {
            let user = operator.user_by_id(id).await?;
            unknown.insert(user.map(|user| user.username));
        }
        Ok(())
    }

    fn get(&self, id: Option<UserId>) -> Option<&str> {
        self.0.get(&id?)?.as_deref()
    }
}

async fn list(
    operator: &Operator,
    output: &Output,
    filter: EventFilter,
    limit: usize,
) -> Result<(), Box<dyn Error>> {
    let mut lines = output.list();
    let mut names = Names::default();
    let (mut before, mut left) = (None, limit);
    loop {
        let mut events = operator.audit_events(filter, before).await?;
        events.truncate(left);
        left -= events.len();
        // Scripts get the numbers, which stay when an account is deleted.
        if !output.json {
            let accounts = events.iter().flat_map(|event| [event.user, event.actor]);
            for id in accounts.flatten() {
                names.look_up(operator, id).await?;
            }
        }
        let entries = events.iter().map(|event| Event::new(event, &names));
        lines.print(&entries.collect::<Vec<_>>())?;
        match events.last() {
            Some(last) if left > 0 => before = Some(last.id),
            _ => return Ok(()),
        }
    }
}

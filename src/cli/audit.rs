//! `symbolon audit`

use std::collections::hash_map::{Entry, HashMap};
use std::error::Error;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use symbolon::{
    ActorType, AuditEvent, AuditEventFilter, AuditEventKind, CredentialType, Operator, Role, UserId,
};

use super::database::{Database, find_user};
use super::output::{Output, Row, Timestamp, or_dash};
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Audit {
    /// Print only the events that concern the user with this name
    #[arg(long, value_name = "USERNAME", conflicts_with = "user_id")]
    user: Option<String>,

    /// Print only the events that concern the user with this id, even if the user was deleted
    #[arg(long, value_name = "ID")]
    user_id: Option<UserId>,

    /// Print only events of this kind
    #[arg(long, ignore_case = true, value_parser = kind())]
    kind: Option<AuditEventKind>,

    /// Maximum number of events to print
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
        kind.ok_or("unknown kind of event")
    })
}

impl Audit {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let work = async |operator: &Operator| {
            let user = match self.user {
                Some(name) => Some(find_user(operator, &name).await?.id),
                None => self.user_id,
            };
            let filter = AuditEventFilter {
                user,
                kind: self.kind,
            };
            list(operator, &self.output, filter, self.limit).await
        };
        self.database.with_operator(settings, work).await
    }
}

async fn list(
    operator: &Operator,
    output: &Output,
    filter: AuditEventFilter,
    limit: usize,
) -> Result<(), Box<dyn Error>> {
    let mut table = output.table();
    let mut usernames = Usernames::default();
    let (mut before, mut remaining) = (None, limit);
    loop {
        let mut events = operator.audit_events(filter, before).await?;
        events.truncate(remaining);
        remaining -= events.len();
        // The JSON output contains ids, which remain valid when users are deleted, and needs no usernames.
        if !output.json {
            let users = events.iter().flat_map(|event| [event.user, event.actor]);
            for id in users.flatten() {
                usernames.look_up(operator, id).await?;
            }
        }
        let rows = events.iter().map(|event| EventRow::new(event, &usernames));
        table.print(&rows.collect::<Vec<_>>())?;
        match events.last() {
            Some(last) if remaining > 0 => before = Some(last.id),
            _ => return Ok(()),
        }
    }
}

/// The usernames of the users that have been looked up. The username of a deleted user is `None`.
#[derive(Default)]
struct Usernames(HashMap<UserId, Option<String>>);

impl Usernames {
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRow<'a> {
    id: String,
    kind: &'static str,
    at: Timestamp,
    last_at: Timestamp,
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
    user_name: Option<&'a str>,
    #[serde(skip)]
    actor_name: Option<&'a str>,
}

impl<'a> EventRow<'a> {
    fn new(event: &'a AuditEvent, usernames: &'a Usernames) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind.name(),
            at: Timestamp(event.at),
            last_at: Timestamp(event.last_at),
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
            user_name: usernames.get(event.user),
            actor_name: usernames.get(event.actor),
        }
    }

    /// Describes the change: the old and the new role, the old and the new username, or the username of a deleted
    /// user.
    fn change(&self) -> Option<String> {
        let roles = self.old_role.zip(self.new_role);
        let usernames = self.old_username.zip(self.username);
        match roles.or(usernames) {
            Some((old, new)) => Some(format!("{old} to {new}")),
            None => self.username.map(str::to_owned),
        }
    }

    /// Returns the name and the id of the user who acted, or the type of an actor that is not a user.
    fn actor(&self) -> String {
        match (&self.actor_id, self.actor_type) {
            (None, Some(actor)) => actor.to_lowercase(),
            (id, _) => name_and_id(self.actor_name, id.as_deref()),
        }
    }

    fn credential(&self) -> Option<String> {
        let credential = self.credential_type?.to_lowercase().replace('_', " ");
        Some(match self.credential_id {
            Some(id) => format!("{credential} {id}"),
            None => credential,
        })
    }
}

impl Row for EventRow<'_> {
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
            name_and_id(self.user_name, self.user_id.as_deref()),
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

/// Formats the name and the id of a user. The name of a deleted user is unknown.
fn name_and_id(name: Option<&str>, id: Option<&str>) -> String {
    match (name, id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (_, id) => or_dash(id.map(|id| format!("({id})"))),
    }
}

//! Insertion of events into the audit trail, and the rows that count repeated events.
//!
//! A user can repeat most actions any number of times. To limit the number of rows, the events of one kind, user,
//! actor and hour form a group. Each of the first events of a group has a separate row, and one more row counts the
//! remaining events. Each row of a group has a name in the unique column `tally`. If two transactions insert a row
//! with the same name, the second transaction adds its events to the row of the first.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::audit_event::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::error::Error;
use crate::model::audit_event_enums::{AuditEventKind, CredentialType};
use crate::model::event::Event;
use crate::model::user::Role;
use crate::store::monitored_connection::MonitoredConnection;

/// The number of events of a group that are stored in separate rows.
const SINGLE_ROWS: usize = 10;

/// The maximum number of groups that one statement looks up, and of rows that one statement inserts.
const BATCH: usize = 100;

type Connection = MonitoredConnection<DatabaseTransaction>;

/// A row to insert. If the table already contains a row with this name, the count is added to that row.
struct Row<'a> {
    /// The last event that the row counts.
    event: &'a Event,
    count: i64,
    /// The time of the first event that the row counts.
    first_at: DateTime<Utc>,
    name: Option<String>,
}

/// Inserts the events of a transaction.
pub(super) async fn insert_events(transaction: &Connection, events: &[Event]) -> Result<(), Error> {
    let groups: Vec<_> = events.iter().map(group_name).collect();
    let mut sizes = count_single_rows(transaction, groups.iter().flatten()).await?;
    let mut counting_rows = HashMap::new();
    let mut rows: Vec<Row> = Vec::with_capacity(events.len());
    for (event, group) in events.iter().zip(&groups) {
        let mut name = None;
        if let Some(group) = group {
            let size = sizes.entry(group).or_default();
            if *size < SINGLE_ROWS {
                name = Some(single_row_name(group, *size));
                *size += 1;
            } else if let Some(index) = counting_rows.get(group) {
                let row: &mut Row = &mut rows[*index];
                (row.event, row.count) = (event, row.count + 1);
                continue;
            } else {
                counting_rows.insert(group, rows.len());
                name = Some(format!("{group} more"));
            }
        }
        rows.push(Row {
            event,
            count: 1,
            first_at: event.at,
            name,
        });
    }
    for batch in rows.chunks(BATCH) {
        insert_rows(transaction, batch).await?;
    }
    Ok(())
}

/// Adds `count` to the row for this kind, user and hour.
pub(super) async fn insert_count(
    transaction: &Connection,
    event: &Event,
    count: i64,
) -> Result<(), Error> {
    let user = event.user.map(|user| user.to_string()).unwrap_or_default();
    let suffix = event.actor.map_or("", |_| " own");
    let name = format!("{} {user} {}{suffix}", event.kind.name(), hour(event));
    let row = Row {
        event,
        count,
        first_at: event.at,
        name: Some(name),
    };
    insert_rows(transaction, &[row]).await
}

/// Returns the name of the group of an event, or `None` for kinds of which a user has at most one event, and for tokens
/// with which an admin acts as the user: the digest of each such token leads to the admin. The name includes the old and the new role, so that different role changes are not combined into one row.
fn group_name(event: &Event) -> Option<String> {
    if matches!(
        event.kind,
        AuditEventKind::Registered | AuditEventKind::Deleted
    ) {
        return None;
    }
    if event.kind == AuditEventKind::TokenIssued
        && event.actor.is_some_and(|actor| Some(actor) != event.user)
    {
        return None;
    }
    let roles = event.old_role.zip(event.new_role);
    let parts = [
        Some(event.kind.name().to_owned()),
        event.user.map(|user| user.to_string()),
        Some(hour(event).to_string()),
        Some(event.actor_type.name().to_owned()),
        event.actor.map(|user| user.to_string()),
        (event.credential_type).map(|credential| credential.name().to_owned()),
        roles.map(|(old, new)| format!("{} {}", old.name(), new.name())),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn hour(event: &Event) -> i64 {
    event.at.timestamp().div_euclid(3600)
}

fn single_row_name(group: &str, index: usize) -> String {
    format!("{group} #{index}")
}

/// Returns the number of separate rows that each group already has.
async fn count_single_rows<'a>(
    transaction: &Connection,
    groups: impl Iterator<Item = &'a String>,
) -> Result<HashMap<&'a String, usize>, Error> {
    let groups: Vec<_> = groups.collect::<HashSet<_>>().into_iter().collect();
    let mut sizes = HashMap::new();
    for batch in groups.chunks(BATCH) {
        let names = |group: &&'a String| {
            let group = *group;
            (0..SINGLE_ROWS).map(move |index| (single_row_name(group, index), group))
        };
        let names: HashMap<_, _> = batch.iter().flat_map(names).collect();
        let existing = audit_event::Entity::find()
            .select_only()
            .column(Column::Tally)
            .filter(Column::Tally.is_in(names.keys()))
            .into_tuple::<String>()
            .all(transaction)
            .await?;
        for group in existing.iter().filter_map(|name| names.get(name)) {
            *sizes.entry(*group).or_default() += 1;
        }
    }
    Ok(sizes)
}

async fn insert_rows(transaction: &Connection, rows: &[Row<'_>]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let count = Expr::col((audit_event::Entity, Column::Count));
    let added = Expr::col(("excluded", Column::Count));
    let mut update = OnConflict::column(Column::Tally);
    update
        .update_columns([
            Column::LastAt,
            Column::CredentialType,
            Column::CredentialId,
            Column::OldUsername,
            Column::Username,
            Column::Token,
            Column::Address,
            Column::RequestId,
        ])
        .value(Column::Count, count.add(added));
    audit_event::Entity::insert_many(rows.iter().map(to_row))
        .on_conflict(update)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

fn to_row(row: &Row<'_>) -> audit_event::ActiveModel {
    let event = row.event;
    let role = |role: Option<Role>| Set(role.map(|role| role.name().to_owned()));
    let credential_type = event.credential_type.map(CredentialType::name);
    audit_event::ActiveModel {
        kind: Set(event.kind.name().to_owned()),
        at: Set(row.first_at.timestamp_millis()),
        last_at: Set(event.at.timestamp_millis()),
        count: Set(row.count),
        user_id: Set(event.user.map(|user| user.0)),
        actor_type: Set(Some(event.actor_type.name().to_owned())),
        actor_id: Set(event.actor.map(|user| user.0)),
        credential_type: Set(credential_type.map(str::to_owned)),
        credential_id: Set(event.credential_id.clone()),
        old_role: role(event.old_role),
        new_role: role(event.new_role),
        old_username: Set(event.old_username.clone()),
        username: Set(event.username.clone()),
        token: Set(event.token.clone()),
        address: Set(event.address.map(|address| address.to_string())),
        request_id: Set(event.request_id.clone()),
        tally: Set(row.name.clone()),
        ..Default::default()
    }
}

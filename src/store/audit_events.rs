//! The audit trail: write events, count those that are repeated, read them, and forget what is old.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::audit_event;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::clock::at;
use crate::error::Error;
use crate::model::audit_event::{
    ActorType, AuditEvent, AuditEventKind, Credential, CredentialType, EventFilter, NewEvent,
};
use crate::model::pagination::PageRequest;
use crate::model::user::{Role, UserId};
use crate::store::monitored_connection::Monitored;
use crate::store::{Store, Transaction};

/// Of the events of a group, those that have a row of their own. Later ones are counted in one row.
const OWN_ROWS: usize = 10;

/// The groups that one statement looks up, and the rows that one statement inserts.
const BATCH: usize = 100;

impl Store {
    /// The events of a page, the newest first: the position of an event is its negative id.
    pub(crate) async fn audit_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Vec<AuditEvent>, Error> {
        use audit_event::Column;
        let mut query = audit_event::Entity::find();
        if let Some(user) = filter.user {
            query = query.filter(Column::UserId.eq(user.0));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(Column::Kind.eq(kind.name()));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.lt(after.saturating_neg()));
        }
        if let Some(before) = page.before {
            query = query.filter(Column::Id.gt(before.saturating_neg()));
        }
        query = if page.backwards {
            query.order_by_asc(Column::Id)
        } else {
            query.order_by_desc(Column::Id)
        };
        let rows = query.limit(page.limit).all(&self.readers).await?;
        let mut events = rows
            .into_iter()
            .map(event)
            .collect::<Result<Vec<_>, Error>>()?;
        if page.backwards {
            events.reverse();
        }
        Ok(events)
    }
}

impl Transaction {
    /// Adds `times` events to the one row that counts those of its kind, account and hour. Those of clients
    /// that are not authenticated, and those of the account itself, have a row each.
    pub(crate) async fn tally(&mut self, event: &NewEvent, times: i64) -> Result<(), Error> {
        let account = event.user.map(|user| user.to_string()).unwrap_or_default();
        let own = event.actor.user_id().map_or("", |_| " own");
        let counted = Row {
            event,
            times,
            first: event.at,
            tally: Some(format!(
                "{} {account} {}{own}",
                event.kind.name(),
                hour(event)
            )),
        };
        insert_rows(&self.transaction, &[counted]).await
    }

    /// Deletes the events that last happened before `end`.
    pub(crate) async fn delete_events_before(&self, end: DateTime<Utc>) -> Result<(), Error> {
        audit_event::Entity::delete_many()
            .filter(audit_event::Column::LastAt.lt(end.timestamp_millis()))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }
}

/// Inserts the events of a transaction. An account can repeat most of what it does at will. So events of
/// one kind, account, actor and hour are a group: the first ones have rows of their own, later ones are
/// counted in one more row.
///
/// All rows of a group have names in the unique column `tally`, which bounds them. A transaction that is
/// overtaken by another one of the same group adds to the row that the other one has inserted.
pub(super) async fn insert(
    transaction: &Monitored<DatabaseTransaction>,
    events: &[NewEvent],
) -> Result<(), Error> {
    let groups: Vec<_> = events.iter().map(group).collect();
    let mut sizes = sizes(transaction, groups.iter().flatten()).await?;
    let mut counted = HashMap::new();
    let mut rows: Vec<Row> = Vec::with_capacity(events.len());
    for (event, group) in events.iter().zip(&groups) {
        let mut tally = None;
        if let Some(group) = group {
            let size = sizes.entry(group).or_default();
            if *size < OWN_ROWS {
                tally = Some(own_row(group, *size));
                *size += 1;
            } else if let Some(known) = counted.get(group) {
                let row: &mut Row = &mut rows[*known];
                (row.event, row.times) = (event, row.times + 1);
                continue;
            } else {
                counted.insert(group, rows.len());
                tally = Some(format!("{group} more"));
            }
        }
        rows.push(Row {
            event,
            times: 1,
            first: event.at,
            tally,
        });
    }
    for batch in rows.chunks(BATCH) {
        insert_rows(transaction, batch).await?;
    }
    Ok(())
}

/// The group that an event belongs to; `None` for an event that an account has once. Roles are part of it,
/// so that no change of a role is lost among others.
fn group(event: &NewEvent) -> Option<String> {
    if matches!(
        event.kind,
        AuditEventKind::Registered | AuditEventKind::Deleted
    ) {
        return None;
    }
    let actor = &event.actor;
    let account = event.user.map(|user| user.to_string());
    let by = actor.user_id().map(|user| user.to_string());
    let credential = actor
        .credential()
        .map(|credential| credential.kind().name());
    let roles = event.detail.roles();
    let roles = roles.map(|(old, new)| format!("{} {}", old.name(), new.name()));
    let parts = [
        Some(event.kind.name().to_owned()),
        account,
        Some(hour(event).to_string()),
        Some(actor.kind().name().to_owned()),
        by,
        credential.map(str::to_owned),
        roles,
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn hour(event: &NewEvent) -> i64 {
    event.at.timestamp().div_euclid(3600)
}

fn own_row(group: &str, number: usize) -> String {
    format!("{group} #{number}")
}

/// How many events of each group have a row of their own already.
async fn sizes<'a>(
    transaction: &Monitored<DatabaseTransaction>,
    groups: impl Iterator<Item = &'a String>,
) -> Result<HashMap<&'a String, usize>, Error> {
    let groups: Vec<_> = groups.collect::<HashSet<_>>().into_iter().collect();
    let mut sizes = HashMap::new();
    for batch in groups.chunks(BATCH) {
        let names = |group: &&'a String| {
            let group = *group;
            (0..OWN_ROWS).map(move |number| (own_row(group, number), group))
        };
        let names: HashMap<_, _> = batch.iter().flat_map(names).collect();
        let known = audit_event::Entity::find()
            .select_only()
            .column(audit_event::Column::Tally)
            .filter(audit_event::Column::Tally.is_in(names.keys()))
            .into_tuple::<String>()
            .all(transaction)
            .await?;
        for name in known {
            if let Some(group) = names.get(&name) {
                *sizes.entry(*group).or_default() += 1;
            }
        }
    }
    Ok(sizes)
}

/// A row to be inserted, or to be added to the one that has its name.
struct Row<'a> {
    /// The last one that it counts.
    event: &'a NewEvent,
    times: i64,
    /// When the first one happened.
    first: DateTime<Utc>,
    tally: Option<String>,
}

async fn insert_rows(
    transaction: &Monitored<DatabaseTransaction>,
    rows: &[Row<'_>],
) -> Result<(), Error> {
    use audit_event::Column;
    if rows.is_empty() {
        return Ok(());
    }
    let count = Expr::col((audit_event::Entity, Column::Count));
    let added = Expr::col(("excluded", Column::Count));
    let mut known = OnConflict::column(Column::Tally);
    known
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
    audit_event::Entity::insert_many(rows.iter().map(model))
        .on_conflict(known)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

fn model(row: &Row<'_>) -> audit_event::ActiveModel {
    let Row {
        event,
        times,
        first,
        tally,
    } = row;
    let (client, credential) = (event.actor.client(), event.actor.credential());
    let address = client.and_then(|client| client.address);
    let request_id = client.and_then(|client| client.request_id.as_deref());
    let (old_role, new_role) = event.detail.roles().unzip();
    let name = |name: &'static str| name.to_owned();
    audit_event::ActiveModel {
        kind: Set(event.kind.name().to_owned()),
        at: Set(first.timestamp_millis()),
        last_at: Set(event.at.timestamp_millis()),
        count: Set(*times),
        user_id: Set(event.user.map(|user| user.0)),
        actor_type: Set(Some(event.actor.kind().name().to_owned())),
        actor_id: Set(event.actor.user_id().map(|user| user.0)),
        credential_type: Set(credential
            .map(|credential| credential.kind().name())
            .map(name)),
        credential_id: Set(credential.and_then(Credential::id)),
        old_role: Set(old_role.map(Role::name).map(name)),
        new_role: Set(new_role.map(Role::name).map(name)),
        old_username: Set(event.detail.old_username().map(str::to_owned)),
        username: Set(event.detail.username().map(str::to_owned)),
        token: Set(event.token.map(|digest| digest.prefix())),
        address: Set(address.map(|address| address.to_string())),
        request_id: Set(request_id.map(str::to_owned)),
        tally: Set(tally.clone()),
        ..Default::default()
    }
}

fn event(row: audit_event::Model) -> Result<AuditEvent, Error> {
    let kind = AuditEventKind::from_name(&row.kind);
    Ok(AuditEvent {
        id: row.id,
        kind: kind.ok_or_else(|| Error::internal("an audit event of an unknown kind"))?,
        at: at(row.at),
        last_at: at(row.last_at),
        count: row.count,
        user: row.user_id.map(UserId),
        actor_type: row.actor_type.as_deref().and_then(ActorType::from_name),
        actor: row.actor_id.map(UserId),
        credential_type: (row.credential_type.as_deref()).and_then(CredentialType::from_name),
        credential_id: row.credential_id,
        old_role: row.old_role.as_deref().and_then(Role::from_name),
        new_role: row.new_role.as_deref().and_then(Role::from_name),
        old_username: row.old_username,
        username: row.username,
        token: row.token,
        address: row.address,
        request_id: row.request_id,
    })
}

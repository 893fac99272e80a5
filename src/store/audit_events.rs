//! SQL statements for the audit trail.

use chrono::{DateTime, Utc};
use entity::audit_event::{self, Column};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryTrait};

use crate::clock::at;
use crate::error::Error;
use crate::model::audit_event::{AuditEvent, AuditEventFilter};
use crate::model::audit_event_enums::{ActorType, AuditEventKind, CredentialType};
use crate::model::event::Event;
use crate::model::pagination::{Page, PageRequest};
use crate::model::user::{Role, UserId};
use crate::store::audit_event_insertion::insert_count;
use crate::store::database::Store;
use crate::store::pages::List;
use crate::store::transaction::Transaction;

impl Store {
    /// Returns the events of a page that satisfy the filter, newest first. The position of an event is its negated
    /// id.
    pub(crate) async fn audit_events(
        &self,
        filter: AuditEventFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEvent>, Error> {
        let events = audit_event::Entity::find()
            .apply_if(filter.user, |events, user| {
                events.filter(Column::UserId.eq(user.0))
            })
            .apply_if(filter.kind, |events, kind| {
                events.filter(Column::Kind.eq(kind.name()))
            });
        let list = List {
            rows: events.into_query(),
            id: Column::Id,
            newest_first: true,
        };
        let convert = |row: &_| to_event(audit_event::Model::from_query_result(row, "")?);
        list.page(&self.readers, page, convert).await
    }
}

impl Transaction {
    /// Adds `times` to the count of the row for this kind, user and hour. Attempts by unauthenticated clients and
    /// attempts by the user are counted in separate rows. The commit does not publish the event.
    pub(crate) async fn count_events(&mut self, event: &Event, times: i64) -> Result<(), Error> {
        insert_count(&self.connection, event, times).await
    }

    /// Deletes the events whose last occurrence was before `end`.
    pub(crate) async fn delete_events_before(&self, end: DateTime<Utc>) -> Result<(), Error> {
        let is_old = Column::LastAt.lt(end.timestamp_millis());
        let delete = audit_event::Entity::delete_many().filter(is_old);
        self.execute(delete).await.map(drop)
    }
}

fn to_event(row: audit_event::Model) -> Result<AuditEvent, Error> {
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

//! The audit trail: read it, and forget what is old.

use chrono::{DateTime, Utc};
use entity::audit_event;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::clock::at;
use crate::error::Error;
use crate::model::audit::{AuditEvent, AuditEventKind, EventFilter};
use crate::model::page::PageRequest;
use crate::model::user::UserId;
use crate::store::{Store, Writing};

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

impl Writing {
    /// Deletes the events that last happened before `end`.
    pub(crate) async fn forget_events(&self, end: DateTime<Utc>) -> Result<(), Error> {
        audit_event::Entity::delete_many()
            .filter(audit_event::Column::LastAt.lt(end.timestamp_millis()))
            .exec(&self.transaction)
            .await?;
        Ok(())
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
        actor: row.actor_id.map(UserId),
        token: row.token,
        address: row.address,
        request_id: row.request_id,
    })
}

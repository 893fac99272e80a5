//! The timelines of PostgreSQL servers, which distinguish an old primary from the current primary.
//!
//! The promotion of a standby begins a new timeline with a higher number. The old primary keeps its timeline and
//! accepts writes if it returns, but it lacks all changes since the promotion. The system identifier, which
//! `initdb` chooses, is the same for a primary and its standbys.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Executor, Row, raw_sql};

/// The query for the system identifier and the timeline. Returns no timeline for a standby. Every role can execute
/// these functions, unless an administrator has revoked the privilege.
const SELECT: &str = "SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery() THEN \
    ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END \
    FROM pg_control_system()";

/// The timeline of a primary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    system_identifier: i64,
    number: i64,
}

impl Timeline {
    /// Returns the timeline of the server of a connection, or `None` if the server is a standby or does not support
    /// the query. In the case of a lost connection, the next statement fails with the same error.
    pub(super) async fn of(connection: &mut PgConnection) -> Option<Self> {
        // A prepared statement could remain on a connection of a pooler.
        let row = connection.fetch_one(raw_sql(SELECT)).await.ok()?;
        Some(Self {
            system_identifier: row.try_get(0).ok()?,
            number: row.try_get(1).ok()?,
        })
    }
}

/// The timelines that this instance has used.
#[derive(Debug, Default)]
pub(super) struct UsedTimelines {
    /// The highest timeline for each system identifier.
    highest: Mutex<HashMap<i64, i64>>,
    /// The system identifier of the server that heartbeats reach, if it is known.
    sender: Mutex<Option<i64>>,
}

impl UsedTimelines {
    /// Records a timeline. Returns whether the timeline is higher than a recorded timeline of the same system.
    pub(super) fn record(&self, timeline: Timeline) -> bool {
        let mut highest = lock(&self.highest);
        match highest.insert(timeline.system_identifier, timeline.number) {
            Some(before) if before > timeline.number => {
                highest.insert(timeline.system_identifier, before);
                false
            }
            Some(before) => before < timeline.number,
            None => false,
        }
    }

    /// Returns whether this instance has used a higher timeline of the same system.
    pub(super) fn is_outdated(&self, timeline: Timeline) -> bool {
        let highest = lock(&self.highest);
        let highest = highest.get(&timeline.system_identifier);
        highest.is_some_and(|highest| *highest > timeline.number)
    }

    /// Sets the timeline of the server that heartbeats reach.
    pub(super) fn set_sender(&self, timeline: Option<Timeline>) {
        *lock(&self.sender) = timeline.map(|timeline| timeline.system_identifier);
    }

    /// Returns whether the timeline belongs to another system than that of the server that heartbeats reach.
    pub(super) fn is_of_another_system(&self, timeline: Timeline) -> bool {
        lock(&self.sender).is_some_and(|sender| sender != timeline.system_identifier)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The timelines of PostgreSQL servers, which distinguish an old primary from the current primary.
//!
//! The promotion of a standby begins a new timeline with a higher number. The old primary keeps its timeline and
//! accepts writes if it returns, but it lacks all changes since the promotion. The system identifier, which
//! `initdb` chooses, is the same for a primary and its standbys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::query_as;

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
        let row = query_as::<_, (i64, Option<i64>)>(SELECT)
            .fetch_one(connection)
            .await;
        let (system_identifier, number) = row.ok()?;
        Some(Self {
            system_identifier,
            number: number?,
        })
    }
}

/// The highest timeline that this instance has used for each system identifier.
#[derive(Debug, Default)]
pub(super) struct HighestTimelines(Mutex<HashMap<i64, i64>>);

impl HighestTimelines {
    /// Records a timeline. Returns whether the timeline is higher than a recorded timeline of the same system.
    pub(super) fn record(&self, timeline: Timeline) -> bool {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = highest.get(&timeline.system_identifier);
        highest.is_some_and(|highest| *highest > timeline.number)
    }
}

//! Records refused attempts as audit events. Repeated attempts are counted in one row, so that an attacker
//! cannot fill the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::actor::Actor;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::event::Event;
use crate::model::user::UserId;
use crate::store::{Store, Transaction};

/// The maximum number of users whose throttled attempts are counted separately. Attempts on further users are
/// counted together, in an event without a user.
const MAX_THROTTLED_USERS: usize = 1000;

/// Recorder of refused attempts. All other events are recorded in the transaction of the change that they
/// describe.
#[derive(Debug)]
pub(crate) struct RefusedAttempts {
    store: Arc<Store>,
    retention: TimeDelta,
    /// The latest throttled attempt on each user, and the number of throttled attempts that have not been
    /// written to the database yet.
    throttled: Mutex<HashMap<Option<UserId>, (Event, i64)>>,
}

impl RefusedAttempts {
    /// Creates a recorder. [`Self::purge`] deletes events that are older than `retention`.
    pub(crate) fn new(store: Arc<Store>, retention: TimeDelta) -> Self {
        Self {
            store,
            retention,
            throttled: Mutex::default(),
        }
    }

    /// Records an attempt with a wrong password.
    pub(super) async fn record_failed_sign_in(
        &self,
        user: Option<UserId>,
        actor: Actor,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let event = NewAuditEvent::new(AuditEventKind::SignInFailed, user, actor, at);
        let event = Event::from(event);
        let mut transaction = self.store.begin().await?;
        transaction.count_events(&event, 1).await?;
        transaction.record_counted_event(event);
        transaction.commit().await
    }

    /// Counts a throttled attempt in memory, so that a refusal causes no write to the database.
    pub(super) fn record_throttled(
        &self,
        user: Option<UserId>,
        client: &Client,
        at: DateTime<Utc>,
    ) {
        let actor = Actor::Anonymous(client.clone());
        let event = NewAuditEvent::new(AuditEventKind::Throttled, user, actor, at);
        let event = Event::from(event);
        self.store.publish_event(event.clone());
        let mut throttled = self.lock();
        let is_full = throttled.len() >= MAX_THROTTLED_USERS;
        let user = user.filter(|_| !is_full || throttled.contains_key(&user));
        let event = Event { user, ..event };
        let (latest, count) = throttled.entry(user).or_insert((event.clone(), 0));
        *latest = event;
        *count += 1;
    }

    /// Writes to the database all attempts that were throttled since the previous call.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let throttled = std::mem::take(&mut *self.lock());
        if throttled.is_empty() {
            return Ok(());
        }
        // The events are sorted, because instances that update the same rows in different orders could
        // deadlock.
        let mut events: Vec<_> = throttled.into_values().collect();
        events.sort_by_key(|(event, _)| event.user);
        let written = self.write(&events).await;
        if written.is_err() {
            // The counts are kept for the next flush, which adds them to the counts of later attempts. If the outcome of
            // the commit is unknown, the attempts may be counted twice.
            let mut throttled = self.lock();
            for (event, count) in events {
                let (_, total) = throttled.entry(event.user).or_insert((event, 0));
                *total += count;
            }
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<UserId>, (Event, i64)>> {
        self.throttled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, events: &[(Event, i64)]) -> Result<(), Error> {
        let mut transaction = self.store.begin().await?;
        for (event, count) in events {
            transaction.count_events(event, *count).await?;
        }
        transaction.commit().await
    }

    /// Deletes the events that are older than the retention time.
    pub(super) async fn purge(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        transaction.delete_events_before(now - self.retention).await
    }
}

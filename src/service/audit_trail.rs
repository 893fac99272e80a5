//! Keep the audit trail: count what an attacker can repeat, read it, forget what is old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::audit_event::{Actor, AuditEvent, AuditEventKind, Client, EventFilter, NewEvent};
use crate::model::pagination::{Page, PageRequest};
use crate::model::requirement::Requirement;
use crate::model::scopes::AUDIT_READ;
use crate::model::user::{Role, UserId};
use crate::service::authorization::Caller;
use crate::store::{Store, Transaction};

/// So many accounts at once have refused attempts of their own; those of more are counted together.
const THROTTLED_ACCOUNTS: usize = 1000;

/// The audit trail. What changes an account or a token is recorded with the change itself.
#[derive(Debug)]
pub(crate) struct Audit {
    store: Arc<Store>,
    keep: TimeDelta,
    /// MutationError attempts since they were last written down, by account: the latest, and how many.
    throttled: Mutex<HashMap<Option<UserId>, (NewEvent, i64)>>,
}

impl Audit {
    /// Events are kept for `keep`.
    pub(crate) fn new(store: Arc<Store>, keep: TimeDelta) -> Self {
        Self {
            store,
            keep,
            throttled: Mutex::default(),
        }
    }

    /// A password was not accepted.
    pub(crate) async fn sign_in_failed(
        &self,
        account: Option<UserId>,
        actor: Actor,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let event = NewEvent::new(AuditEventKind::SignInFailed, account, actor, at);
        event.log();
        let mut transaction = self.store.begin().await?;
        transaction.tally(&event, 1).await?;
        transaction.commit().await
    }

    /// An attempt was refused. It is only remembered here: to be refused must not cost a write.
    pub(crate) fn throttled(&self, account: Option<UserId>, client: &Client, at: DateTime<Utc>) {
        let actor = Actor::Anonymous(client.clone());
        let event = NewEvent::new(AuditEventKind::Throttled, account, actor, at);
        event.log();
        let mut throttled = self
            .throttled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_full = throttled.len() >= THROTTLED_ACCOUNTS;
        let account = account.filter(|_| !is_full || throttled.contains_key(&account));
        let (latest, times) = throttled.entry(account).or_insert((event.clone(), 0));
        *latest = NewEvent {
            user: account,
            ..event
        };
        *times += 1;
    }

    /// Writes down what was refused since the last time.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let throttled = std::mem::take(
            &mut *self
                .throttled
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        if throttled.is_empty() {
            return Ok(());
        }
        // In an order: instances that write the same rows at once would wait for each other otherwise.
        let mut events: Vec<_> = throttled.into_values().collect();
        events.sort_by_key(|(event, _)| event.user);
        let written = async {
            let mut transaction = self.store.begin().await?;
            for (event, times) in &events {
                transaction.tally(event, *times).await?;
            }
            transaction.commit().await
        };
        let written = written.await;
        if written.is_err() {
            // The next time they are written with what comes until then.
            let mut throttled = (self.throttled.lock()).unwrap_or_else(PoisonError::into_inner);
            for (event, times) in events {
                let (_, total) = throttled.entry(event.user).or_insert((event, 0));
                *total += times;
            }
        }
        written
    }

    /// Forgets what happened too long ago.
    pub(super) async fn forget(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        transaction.delete_events_before(now - self.keep).await
    }

    /// The events, the newest first. For admins.
    pub(crate) async fn page(
        &self,
        caller: Caller<'_>,
        filter: EventFilter,
        asked_for: PageRequest,
    ) -> Result<Page<AuditEvent>, Error> {
        let needed = Requirement::token(&[AUDIT_READ]).with_role(Role::Admin);
        caller.require(&needed).await?;
        let events = |stretch| self.store.audit_events(filter, stretch);
        let items = events(asked_for.with_one_more()).await?;
        let behind = match asked_for.behind() {
            Some(stretch) => events(stretch).await?,
            None => Vec::new(),
        };
        Ok(asked_for.page(items, &behind))
    }
}

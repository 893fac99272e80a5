//! Transactions, through which all rows are changed.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryTrait, SqlErr, Statement,
    TransactionTrait,
};

use crate::error::Error;
use crate::model::audit_event::NewAuditEvent;
use crate::model::event::Event;
use crate::model::user::UserId;
use crate::store::affected_users::AffectedUsers;
use crate::store::audit_event_insertion::insert_events;
use crate::store::change_counter;
use crate::store::database::Store;
use crate::store::errors::{is_outcome_unknown, is_unwritable};
use crate::store::event_publisher::EventPublisher;
use crate::store::heartbeat::CHANNEL;
use crate::store::hook_transaction::HookTransaction;
use crate::store::invalidation::PendingInvalidation;
use crate::store::monitored_connection::MonitoredConnection;
use crate::store::sqlite::immediate;

/// An open transaction, which is rolled back if it is dropped without a commit.
pub(crate) struct Transaction {
    pub(super) connection: MonitoredConnection<DatabaseTransaction>,
    /// The events that the commit inserts into the audit trail.
    events: Vec<Event>,
    /// The events that the audit trail already counts.
    counted_events: Vec<Event>,
    publisher: Arc<EventPublisher>,
    invalidation: PendingInvalidation,
}

impl Store {
    /// Begins a transaction. SQLite runs one transaction at a time. On PostgreSQL, a transaction that reads a row in
    /// order to change it locks the row. Each statement also repeats the conditions under which it changes a row.
    pub(crate) async fn begin(&self) -> Result<Transaction, Error> {
        self.check_database_file()?;
        let (writer, metrics) = (self.writer.clone(), self.monitor.metrics.clone());
        let begin = async {
            // The statement runs in a separate task, which completes even if this future is dropped. Otherwise, the
            // connection could return to the pool with an open transaction.
            let begin = async move { writer.begin_with_options(immediate()).await };
            let task = tokio::spawn(metrics.measure_wait(begin)).await;
            task.map_err(|error| DbErr::Custom(error.to_string()))?
        };
        let transaction = self.monitor.run(begin).await?;
        Ok(Transaction {
            connection: MonitoredConnection::new(transaction, self.monitor.clone()),
            events: Vec::new(),
            counted_events: Vec::new(),
            publisher: Arc::clone(&self.publisher),
            invalidation: PendingInvalidation::new(&self.invalidation),
        })
    }

    /// Returns an error if the database cannot be read or does not accept writes. For this check, uses a connection of
    /// each pool, begins a transaction, and rolls the transaction back. If the last write to SQLite has failed, for
    /// example because the disk is full, the transaction increments the change counter instead, because a transaction
    /// without changes does not write to the disk.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        self.readers.execute_unprepared("SELECT 1").await?;
        let transaction = self.begin().await?;
        let write_state = self.monitor.write_state.as_ref();
        if self.monitor.heartbeat.is_none() && write_state.is_some_and(|state| state.is_failing()) {
            // Without the invalidation of `Transaction::commit`: no user has changed.
            let connection = transaction.connection;
            connection
                .execute_unprepared(change_counter::INCREMENT)
                .await?;
            connection.commit().await?;
        }
        Ok(())
    }
}

impl Transaction {
    /// Commits the changes, invalidates the cached identities of the affected users, and publishes the events. No
    /// event is published if the commit fails or its outcome is unknown.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        // The commit runs in a separate task, which completes even if this future is dropped.
        let commit = tokio::spawn(self.run_commit());
        commit.await.map_err(Error::internal)?
    }

    async fn run_commit(self) -> Result<(), Error> {
        let Self {
            connection,
            mut events,
            counted_events,
            publisher,
            mut invalidation,
        } = self;
        insert_events(&connection, &events).await?;
        let payload = invalidation.users().to_payload();
        let count = announce(&connection, payload).await?;
        invalidation.begin_commit(count);
        if let Err(error) = connection.commit().await {
            if !is_outcome_unknown(&error) {
                return Err(error.into());
            }
            // If the database cannot be written to, `WriteState` has already logged this.
            if !is_unwritable(&error) {
                tracing::warn!(%error, "the outcome of a commit is unknown");
            }
            return Err(Error::OutcomeUnknown);
        }
        invalidation.commit_succeeded();
        events.extend(counted_events);
        publisher.publish(events);
        Ok(())
    }

    /// Invalidates the cached identities of a user when the transaction ends.
    pub(super) fn invalidate_at_end(&self, user: UserId) {
        self.invalidation.users().add(user);
    }

    /// Invalidates all cached identities when the transaction ends.
    pub(super) fn invalidate_all_at_end(&self) {
        *self.invalidation.users() = AffectedUsers::All;
    }

    /// Invalidates the cached identities of a user immediately, in this process only.
    pub(super) fn invalidate_in_this_process(&self, user: UserId) {
        self.invalidation.invalidate_now(user);
    }

    /// Records an event, which is committed together with the changes.
    pub(crate) fn record_event(&mut self, event: NewAuditEvent) {
        self.events.push(event.into());
    }

    /// Records an event that [`Transaction::count_events`] has counted.
    pub(crate) fn record_counted_event(&mut self, event: Event) {
        self.counted_events.push(event);
    }

    /// Returns this transaction for one call of a hook.
    pub(crate) fn for_hook(&self) -> HookTransaction<'_> {
        HookTransaction::new(&self.connection)
    }

    /// Executes a statement. Returns the number of rows that it inserted, updated or deleted.
    pub(super) async fn execute(&self, statement: impl QueryTrait) -> Result<u64, Error> {
        let statement = statement.into_query();
        let result = self.connection.execute(&statement).await?;
        Ok(result.rows_affected())
    }

    /// Executes a statement. Returns `false` if the statement violates a unique constraint. In this case, PostgreSQL
    /// aborts the transaction.
    pub(super) async fn execute_if_unique(
        &self,
        statement: impl QueryTrait,
    ) -> Result<bool, Error> {
        let statement = statement.into_query();
        match self.connection.execute(&statement).await {
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Ok(false)
            }
            result => Ok(result.map(|_| true)?),
        }
    }
}

/// Announces a change to other processes, as part of the transaction. With SQLite, increments the change counter and
/// returns the new value. With PostgreSQL, sends a notification.
async fn announce(
    transaction: &MonitoredConnection<DatabaseTransaction>,
    payload: Option<String>,
) -> Result<Option<i64>, DbErr> {
    let Some(payload) = payload else {
        return Ok(None);
    };
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Sqlite {
        let increment = Statement::from_string(backend, change_counter::INCREMENT);
        let row = transaction.query_one_raw(increment).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("the change counter".to_owned()))?;
        return row.try_get_by_index(0).map(Some);
    }
    let values = [CHANNEL.into(), payload.into()];
    let notify = Statement::from_sql_and_values(backend, "SELECT pg_notify($1, $2)", values);
    transaction.execute_raw(notify).await?;
    Ok(None)
}

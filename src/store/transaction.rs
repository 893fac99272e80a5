//! All that changes rows: in transactions, whose audit events are part of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::user;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryTrait, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, UpdateMany,
};

use crate::error::Error;
use crate::model::audit_event::NewEvent;
use crate::model::user::UserId;
use crate::store::Store;
use crate::store::affected::Affected;
use crate::store::audit_events::insert;
use crate::store::change_counter;
use crate::store::errors::{is_outcome_unknown, is_unwritable};
use crate::store::heartbeat::CHANNEL;
use crate::store::invalidation::Invalidation;
use crate::store::monitored_connection::Monitored;

/// Changes that are committed together. Dropped before, it changes nothing.
pub(crate) struct Transaction {
    pub(super) transaction: Monitored<DatabaseTransaction>,
    events: Vec<NewEvent>,
    effect: Effect,
}

/// The cached identities that a transaction invalidates. Dropped without a commit it invalidates them
/// nevertheless: what ended before the transaction was begun may not be known to the cache.
struct Effect {
    invalidation: Arc<Invalidation>,
    affected: Mutex<Affected>,
}

impl Effect {
    fn affected(&self) -> MutexGuard<'_, Affected> {
        self.affected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        let affected = std::mem::take(&mut *self.affected());
        self.invalidation.invalidate(&affected);
    }
}

impl Store {
    /// Begins a transaction. SQLite has one at a time; on PostgreSQL what is read here is locked, and
    /// what is changed is checked again by the statement that changes it.
    pub(crate) async fn begin(&self) -> Result<Transaction, Error> {
        self.check_database_file()?;
        let writer = self.writer.clone();
        // In a task of its own: if this future were dropped half-way, the next user of the connection
        // would find it in a transaction.
        let begin = async move {
            // A transaction that reads first could not write after another process did.
            let immediate = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            writer.begin_with_options(immediate).await
        };
        let begin = async {
            let task = tokio::spawn(begin).await;
            task.map_err(|error| DbErr::Custom(error.to_string()))?
        };
        let transaction = self.monitor.run(begin).await?;
        Ok(Transaction {
            transaction: Monitored::new(transaction, self.monitor.clone()),
            events: Vec::new(),
            effect: Effect {
                invalidation: Arc::clone(&self.invalidation),
                affected: Mutex::default(),
            },
        })
    }
}

impl Transaction {
    /// Commits the changes and logs their events.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        // In a task of its own, which ends also when this future is dropped.
        let commit = tokio::spawn(self.finish());
        let events = commit.await.map_err(Error::internal)??;
        events.iter().for_each(NewEvent::log);
        Ok(())
    }

    async fn finish(self) -> Result<Vec<NewEvent>, Error> {
        let Self {
            transaction,
            events,
            effect,
        } = self;
        insert(&transaction, &events).await?;
        let payload = effect.affected().payload();
        let count = announce(&transaction, payload).await?;
        let affected = std::mem::take(&mut *effect.affected());
        let commit = effect.invalidation.begin_commit(affected, count);
        let committed = transaction.commit().await;
        if let Err(error) = committed {
            if is_outcome_unknown(&error) {
                // Otherwise the cause is logged once, when it begins.
                if !is_unwritable(&error) {
                    tracing::warn!(%error, "the outcome of a commit is unknown");
                }
                return Err(Error::OutcomeUnknown);
            }
            return Err(error.into());
        }
        commit.succeeded();
        Ok(events)
    }

    /// Notes that the transaction changes an account or ends credentials of it, so that its cached
    /// identities are invalidated.
    pub(super) fn affects(&self, account: UserId) {
        match &mut *self.effect.affected() {
            Affected::Any => {}
            Affected::These(accounts) if accounts.contains(&account) => {}
            Affected::These(accounts) => accounts.push(account),
            none @ Affected::None => *none = Affected::These(vec![account]),
        }
    }

    /// Notes that the transaction may change any account.
    pub(super) fn affects_any(&self) {
        *self.effect.affected() = Affected::Any;
    }

    /// Records an event together with the changes.
    pub(crate) fn record_event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Whether there was a row to be changed.
    pub(super) async fn changes_a_row(
        &self,
        update: UpdateMany<user::Entity>,
    ) -> Result<bool, Error> {
        Ok(update.exec(&self.transaction).await?.rows_affected > 0)
    }

    /// Runs an insertion that may leave the row that is already there as it is; whether it did not.
    pub(super) async fn inserts<A>(&self, insertion: sea_orm::Insert<A>) -> Result<bool, Error>
    where
        A: sea_orm::ActiveModelTrait,
    {
        let done = self.transaction.execute(&insertion.into_query()).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Announces a change to the other processes on the database, as part of the transaction: with SQLite by
/// the change counter, whose new value is returned, with PostgreSQL by a notification.
async fn announce(
    transaction: &Monitored<DatabaseTransaction>,
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

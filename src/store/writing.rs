//! All that changes rows: in transactions, whose audit events are part of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::{audit_event, user};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, QueryTrait,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, UpdateMany,
    sea_query::{Expr, OnConflict},
};

use crate::error::Error;
use crate::model::audit::NewEvent;
use crate::model::user::UserId;
use crate::store::Store;
use crate::store::attended::{Attended, attend};
use crate::store::changes::{Affected, Changes};
use crate::store::pulse::CHANNEL;

/// Changes that are kept together once they are committed. Dropped before, nothing was changed.
pub(crate) struct Writing {
    pub(super) transaction: Attended<DatabaseTransaction>,
    events: Vec<NewEvent>,
    changes: Arc<Changes>,
    affected: Mutex<Affected>,
}

impl Store {
    /// Begins a transaction. SQLite lets no other one come between; on PostgreSQL what is read here is
    /// locked, and what is changed is looked at again by the statement that changes it.
    pub(crate) async fn write(&self) -> Result<Writing, Error> {
        let (writer, pulse) = (self.writer.clone(), self.pulse.clone());
        // In a task of its own: a connection on which the beginning is given up half-way would be in
        // a transaction when the next one takes it.
        let begin = async move {
            // One that only reads at first could not write any more after somebody else did.
            let immediate = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            writer.begin_with_options(immediate).await
        };
        let begin = async {
            let task = tokio::spawn(begin).await;
            task.map_err(|ended| DbErr::Custom(ended.to_string()))?
        };
        let transaction = attend(self.pulse.as_deref(), begin).await?;
        Ok(Writing {
            transaction: Attended::new(transaction, pulse),
            events: Vec::new(),
            changes: Arc::clone(&self.changes),
            affected: Mutex::default(),
        })
    }
}

impl Writing {
    /// Keeps the changes, and says so in the log.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        let Self {
            transaction,
            events,
            changes,
            affected,
        } = self;
        let affected = affected.into_inner();
        let affected = affected.unwrap_or_else(PoisonError::into_inner);
        // In a task of its own: the commit goes on to its end even when nobody waits for it any more,
        // and is told then.
        let commit = async move {
            let committed = finish(transaction, &events, changes.notice(&affected)).await;
            // One that failed may have been kept all the same.
            changes.are_kept(&affected);
            committed.map(|()| events)
        };
        let events = tokio::spawn(commit).await.map_err(Error::internal)??;
        events.iter().for_each(NewEvent::log);
        Ok(())
    }

    /// Notes that credentials of an account end, or that what it is changes: whoever relies on them is
    /// told once that is kept.
    pub(super) fn affects(&self, account: UserId) {
        match &mut *self.affected() {
            Affected::Any => {}
            Affected::These(accounts) if accounts.contains(&account) => {}
            Affected::These(accounts) => accounts.push(account),
            none @ Affected::None => *none = Affected::These(vec![account]),
        }
    }

    /// Notes the same of nobody knows which accounts.
    pub(super) fn affects_any(&self) {
        *self.affected() = Affected::Any;
    }

    fn affected(&self) -> MutexGuard<'_, Affected> {
        self.affected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event together with the changes.
    pub(crate) fn record(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Adds `times` events to the one row that counts those of its kind, account and hour.
    pub(crate) async fn tally(&mut self, event: &NewEvent, times: i64) -> Result<(), Error> {
        let hour = event.at.timestamp().div_euclid(3600);
        let account = event.user.map(|user| user.to_string()).unwrap_or_default();
        let tally = format!("{} {account} {hour}", event.kind.name());
        let counted = audit_event::ActiveModel {
            count: Set(times),
            tally: Set(Some(tally)),
            ..row(event)
        };
        let count = Expr::col((audit_event::Entity, audit_event::Column::Count));
        let mut known = OnConflict::column(audit_event::Column::Tally);
        known
            .update_columns([
                audit_event::Column::LastAt,
                audit_event::Column::Address,
                audit_event::Column::RequestId,
            ])
            .value(audit_event::Column::Count, count.add(times));
        audit_event::Entity::insert(counted)
            .on_conflict(known)
            .exec_without_returning(&self.transaction)
            .await?;
        Ok(())
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

/// Others hear the notice once the transaction is committed, and not otherwise.
async fn finish(
    transaction: Attended<DatabaseTransaction>,
    events: &[NewEvent],
    notice: Option<String>,
) -> Result<(), DbErr> {
    if !events.is_empty() {
        audit_event::Entity::insert_many(events.iter().map(row))
            .exec_without_returning(&transaction)
            .await?;
    }
    if let Some(notice) = notice {
        let notify = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "SELECT pg_notify($1, $2)",
            [CHANNEL.into(), notice.into()],
        );
        transaction.execute_raw(notify).await?;
    }
    transaction.commit().await
}

fn row(event: &NewEvent) -> audit_event::ActiveModel {
    let at = event.at.timestamp_millis();
    let origin = &event.actor.origin;
    audit_event::ActiveModel {
        kind: Set(event.kind.name().to_owned()),
        at: Set(at),
        last_at: Set(at),
        count: Set(1),
        user_id: Set(event.user.map(|user| user.0)),
        actor_id: Set(event.actor.user.map(|user| user.0)),
        token: Set(event.token.map(|digest| digest.prefix())),
        address: Set(origin.address.map(|address| address.to_string())),
        request_id: Set(origin.request_id.as_deref().map(str::to_owned)),
        ..Default::default()
    }
}

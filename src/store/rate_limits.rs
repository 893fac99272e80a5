//! SQL statements for the buckets of rate limits.

use chrono::{DateTime, Utc};
use entity::throttle::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, LockBehavior, LockType, OnConflict},
};

use crate::clock::at;
use crate::error::Error;
use crate::model::rate_limit::Rate;
use crate::store::database::Store;
use crate::store::transaction::Transaction;

/// The maximum number of keys that one statement deletes. Databases limit the number of parameters of a statement.
const MAX_KEYS: usize = 500;

/// A bucket and its rate limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The name of the limit in the metrics.
    pub(crate) limit: &'static str,
    pub(crate) key: [u8; 32],
    pub(crate) rate: Rate,
}

impl Store {
    /// Returns the time at which a bucket will be empty. Returns `None` if the bucket has no row and is therefore
    /// empty.
    pub(crate) async fn bucket_drained_at(
        &self,
        bucket: &Bucket,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let row = throttle::Entity::find_by_id(bucket.key.to_vec())
            .one(&self.readers)
            .await?;
        Ok(row.map(|row| at(row.drained_at)))
    }
}

impl Transaction {
    /// Counts an attempt. If the bucket is full, changes nothing and returns `false`.
    ///
    /// The statement translates the arithmetic of [`Rate`] to SQL.
    pub(crate) async fn count_attempt(
        &self,
        bucket: &Bucket,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let interval = bucket.rate.interval().num_milliseconds();
        let drained_at = || Expr::col((throttle::Entity, Column::DrainedAt));
        let is_in = |(first, last): (i64, i64)| drained_at().between(first, last);
        let if_empty = now.timestamp_millis() + interval;
        let next = Expr::case(
            is_in(bucket.rate.non_empty(now)),
            drained_at().add(interval),
        );
        let mut update = OnConflict::column(Column::Key);
        update
            .value(Column::DrainedAt, next.finally(if_empty))
            .action_and_where(is_in(bucket.rate.full(now)).not());
        let row = throttle::ActiveModel {
            key: Set(bucket.key.to_vec()),
            drained_at: Set(if_empty),
        };
        let counted = self.execute(throttle::Entity::insert(row).on_conflict(update));
        Ok(counted.await? > 0)
    }

    /// Removes one counted attempt from a bucket.
    pub(crate) async fn undo_attempt(&self, bucket: &Bucket) -> Result<(), Error> {
        let interval = bucket.rate.interval().num_milliseconds();
        let update = throttle::Entity::update_many()
            .col_expr(
                Column::DrainedAt,
                Expr::col(Column::DrainedAt).sub(interval),
            )
            .filter(Column::Key.eq(bucket.key.to_vec()));
        self.execute(update).await.map(drop)
    }

    /// Moves the attempts in one bucket to another bucket. If both buckets contain attempts, the larger number is
    /// kept.
    pub(crate) async fn move_bucket(&self, from: [u8; 32], to: [u8; 32]) -> Result<(), Error> {
        let row = throttle::Entity::find_by_id(from.to_vec())
            .one(&self.connection)
            .await?;
        let Some(throttle::Model { drained_at, .. }) = row else {
            return Ok(());
        };
        self.delete_buckets(vec![from]).await?;
        let current = || Expr::col((throttle::Entity, Column::DrainedAt));
        let later = Expr::case(current().gt(drained_at), current()).finally(drained_at);
        let mut update = OnConflict::column(Column::Key);
        update.value(Column::DrainedAt, later);
        let moved = throttle::ActiveModel {
            key: Set(to.to_vec()),
            drained_at: Set(drained_at),
        };
        self.execute(throttle::Entity::insert(moved).on_conflict(update))
            .await
            .map(drop)
    }

    /// Deletes the buckets with these keys.
    pub(crate) async fn delete_buckets(&self, keys: Vec<[u8; 32]>) -> Result<(), Error> {
        for keys in keys.chunks(MAX_KEYS) {
            let keys = keys.iter().map(|key| key.to_vec());
            let delete = throttle::Entity::delete_many().filter(Column::Key.is_in(keys));
            self.execute(delete).await?;
        }
        Ok(())
    }

    /// Deletes the buckets that are empty at `now`. Skips buckets that another transaction has locked.
    pub(crate) async fn delete_empty_buckets(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let empty = throttle::Entity::find()
            .select_only()
            .column(Column::Key)
            .filter(Column::DrainedAt.lte(now.timestamp_millis()))
            // Skipping locked rows prevents a deadlock with a transaction that has locked several buckets.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let delete = throttle::Entity::delete_many().filter(Column::Key.in_subquery(empty));
        self.execute(delete).await.map(drop)
    }
}

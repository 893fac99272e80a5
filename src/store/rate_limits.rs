//! How often something was tried lately, and where accounts were signed in to from.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use entity::{known_address, throttle};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LockBehavior, LockType, OnConflict},
};

use crate::clock::at;
use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::rate_limit::Rate;
use crate::model::user::UserId;
use crate::store::{Store, Transaction};

/// The number of addresses that are known of an account at most.
const MOST_ADDRESSES: u64 = 50;

/// The number of keys that one statement deletes. A statement has a limited number of parameters.
const MOST_KEYS: usize = 500;

/// What is counted, and how much of it there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) key: [u8; 32],
    pub(crate) rate: Rate,
}

impl Store {
    /// When a bucket will have drained; `None` if it has.
    pub(crate) async fn bucket_drained_at(
        &self,
        bucket: &Bucket,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let row = throttle::Entity::find_by_id(bucket.key.to_vec())
            .one(&self.readers)
            .await?;
        Ok(row.map(|row| at(row.drained_at)))
    }

    /// Whether the account was signed in to from there at `since` or later.
    pub(crate) async fn is_known_address(
        &self,
        user: UserId,
        network: IpAddr,
        since: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let row = known_address::Entity::find_by_id((user.0, network.to_string()))
            .filter(known_address::Column::SignedInAt.gte(since.timestamp_millis()))
            .one(&self.readers)
            .await?;
        Ok(row.is_some())
    }
}

impl Transaction {
    /// Counts an attempt, unless the bucket is full. The generic cell rate algorithm: the row says
    /// when the bucket will have drained, and each attempt takes its share of time to drain.
    pub(crate) async fn count(&self, bucket: &Bucket, now: DateTime<Utc>) -> Result<bool, Error> {
        let now = now.timestamp_millis();
        let interval = bucket.rate.interval().num_milliseconds();
        let full = now + bucket.rate.capacity().num_milliseconds();
        let late = full + CLOCK_TOLERANCE.num_milliseconds();
        let drained_at = || Expr::col((throttle::Entity, throttle::Column::DrainedAt));
        // An instant before now counts for nothing, and so does one that is further ahead than a full
        // bucket reaches, even by the instant of an attempt that overtook this one: a clock was wrong
        // when it was written.
        let counts = drained_at().between(now, late);
        let mut known = OnConflict::column(throttle::Column::Key);
        known
            .value(
                throttle::Column::DrainedAt,
                Expr::case(counts, drained_at().add(interval)).finally(now + interval),
            )
            .action_and_where(drained_at().between(full - interval + 1, late).not());
        let attempt = throttle::ActiveModel {
            key: Set(bucket.key.to_vec()),
            drained_at: Set(now + interval),
        };
        self.inserts(throttle::Entity::insert(attempt).on_conflict(known))
            .await
    }

    /// Takes a counted attempt back.
    pub(crate) async fn give_back(&self, bucket: &Bucket) -> Result<(), Error> {
        let interval = bucket.rate.interval().num_milliseconds();
        throttle::Entity::update_many()
            .col_expr(
                throttle::Column::DrainedAt,
                Expr::col(throttle::Column::DrainedAt).sub(interval),
            )
            .filter(throttle::Column::Key.eq(bucket.key.to_vec()))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    /// Moves the count of one bucket to another one. The larger of the two counts remains.
    pub(crate) async fn move_bucket(&self, from: [u8; 32], to: [u8; 32]) -> Result<(), Error> {
        let row = throttle::Entity::find_by_id(from.to_vec())
            .one(&self.transaction)
            .await?;
        let Some(throttle::Model { drained_at, .. }) = row else {
            return Ok(());
        };
        self.delete_buckets(vec![from]).await?;
        let present = || Expr::col((throttle::Entity, throttle::Column::DrainedAt));
        let larger = Expr::case(present().gt(drained_at), present()).finally(drained_at);
        let mut known = OnConflict::column(throttle::Column::Key);
        known.value(throttle::Column::DrainedAt, larger);
        let moved = throttle::ActiveModel {
            key: Set(to.to_vec()),
            drained_at: Set(drained_at),
        };
        self.inserts(throttle::Entity::insert(moved).on_conflict(known))
            .await?;
        Ok(())
    }

    /// Deletes these buckets.
    pub(crate) async fn delete_buckets(&self, keys: Vec<[u8; 32]>) -> Result<(), Error> {
        for keys in keys.chunks(MOST_KEYS) {
            let keys = keys.iter().map(|key| key.to_vec());
            throttle::Entity::delete_many()
                .filter(throttle::Column::Key.is_in(keys))
                .exec(&self.transaction)
                .await?;
        }
        Ok(())
    }

    /// The addresses that the account was signed in to from.
    pub(crate) async fn known_addresses(&self, user: UserId) -> Result<Vec<IpAddr>, Error> {
        let rows = known_address::Entity::find()
            .filter(known_address::Column::UserId.eq(user.0))
            .all(&self.transaction)
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| row.address.parse().ok())
            .collect())
    }

    /// Notes that the account was signed in to from there, and forgets the oldest of too many addresses.
    pub(crate) async fn insert_known_address(
        &self,
        user: UserId,
        network: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let row = known_address::ActiveModel {
            user_id: Set(user.0),
            address: Set(network.to_string()),
            signed_in_at: Set(now.timestamp_millis()),
        };
        let mut known = OnConflict::columns([
            known_address::Column::UserId,
            known_address::Column::Address,
        ]);
        known.update_column(known_address::Column::SignedInAt);
        self.inserts(known_address::Entity::insert(row).on_conflict(known))
            .await?;
        let latest = known_address::Entity::find()
            .select_only()
            .column(known_address::Column::Address)
            .filter(known_address::Column::UserId.eq(user.0))
            .order_by_desc(known_address::Column::SignedInAt)
            .limit(MOST_ADDRESSES)
            .into_query();
        known_address::Entity::delete_many()
            .filter(known_address::Column::UserId.eq(user.0))
            .filter(known_address::Column::Address.not_in_subquery(latest))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    /// Deletes what says nothing any more: buckets that have drained by `now`, and addresses that
    /// nobody signed in from since `since`.
    pub(crate) async fn delete_full_buckets(
        &self,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Result<(), Error> {
        let have_drained = throttle::Entity::find()
            .select_only()
            .column(throttle::Column::Key)
            .filter(throttle::Column::DrainedAt.lte(now.timestamp_millis()))
            // Whoever counts in several of them may be waiting for one of these.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        throttle::Entity::delete_many()
            .filter(throttle::Column::Key.in_subquery(have_drained))
            .exec(&self.transaction)
            .await?;
        known_address::Entity::delete_many()
            .filter(known_address::Column::SignedInAt.lt(since.timestamp_millis()))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn delete_known_addresses(&self, user: UserId) -> Result<(), Error> {
        known_address::Entity::delete_many()
            .filter(known_address::Column::UserId.eq(user.0))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }
}

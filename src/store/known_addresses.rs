//! SQL statements for the addresses from which users have signed in.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use entity::known_address::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::error::Error;
use crate::model::user::UserId;
use crate::store::database::Store;
use crate::store::transaction::Transaction;

/// The maximum number of known addresses of a user.
const MAX_ADDRESSES: u64 = 50;

impl Store {
    /// Returns whether the user last signed in from this network at `since` or later.
    pub(crate) async fn is_known_address(
        &self,
        user: UserId,
        network: IpAddr,
        since: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let row = known_address::Entity::find_by_id((user.0, network.to_string()))
            .filter(Column::SignedInAt.gte(since.timestamp_millis()))
            .one(&self.readers)
            .await?;
        Ok(row.is_some())
    }
}

impl Transaction {
    /// Returns the known addresses of a user.
    pub(crate) async fn known_addresses(&self, user: UserId) -> Result<Vec<IpAddr>, Error> {
        let rows = known_address::Entity::find()
            .filter(Column::UserId.eq(user.0))
            .all(&self.connection)
            .await?;
        let addresses = rows.into_iter().filter_map(|row| row.address.parse().ok());
        Ok(addresses.collect())
    }

    /// Records that the user signed in from this network. If the user has more than [`MAX_ADDRESSES`] addresses,
    /// deletes the oldest addresses.
    pub(crate) async fn remember_address(
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
        let mut update = OnConflict::columns([Column::UserId, Column::Address]);
        update.update_column(Column::SignedInAt);
        self.execute(known_address::Entity::insert(row).on_conflict(update))
            .await?;
        let latest = known_address::Entity::find()
            .select_only()
            .column(Column::Address)
            .filter(Column::UserId.eq(user.0))
            .order_by_desc(Column::SignedInAt)
            .limit(MAX_ADDRESSES)
            .into_query();
        let delete = known_address::Entity::delete_many()
            .filter(Column::UserId.eq(user.0))
            .filter(Column::Address.not_in_subquery(latest));
        self.execute(delete).await.map(drop)
    }

    /// Deletes the known addresses whose last sign-in was before `since`.
    pub(crate) async fn delete_known_addresses_before(
        &self,
        since: DateTime<Utc>,
    ) -> Result<(), Error> {
        let is_old = Column::SignedInAt.lt(since.timestamp_millis());
        let delete = known_address::Entity::delete_many().filter(is_old);
        self.execute(delete).await.map(drop)
    }

    /// Deletes the known addresses of a user.
    pub(super) async fn delete_known_addresses(&self, user: UserId) -> Result<(), Error> {
        let delete = known_address::Entity::delete_many().filter(Column::UserId.eq(user.0));
        self.execute(delete).await.map(drop)
    }
}

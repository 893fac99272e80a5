//! An SQL statement that selects the users who have tokens.

use entity::user::{self, Column};
use entity::{access_token, one_time_token, session};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use crate::error::Error;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::store::transaction::Transaction;
use crate::store::users::to_record;

impl Transaction {
    /// Returns up to `limit` users who have an access token, an unused one-time token or a session that was not revoked,
    /// and an id greater than `after`, ordered by id. Locks the rows until the transaction ends.
    pub(crate) async fn users_with_tokens(
        &self,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<UserRecord>, Error> {
        let with_access_token = access_token::Entity::find()
            .select_only()
            .column(access_token::Column::UserId)
            .into_query();
        let with_device_session = session::Entity::find()
            .select_only()
            .column(session::Column::UserId)
            .filter(session::Column::Device.is_not_null())
            .filter(session::Column::RevokedAt.is_null())
            .into_query();
        let with_one_time_token = one_time_token::Entity::find()
            .select_only()
            .column(one_time_token::Column::UserId)
            .filter(one_time_token::Column::UsedAt.is_null())
            .into_query();
        let has_tokens = Condition::any()
            .add(Column::TokenNonce.is_not_null())
            .add(Column::Id.in_subquery(with_access_token))
            .add(Column::Id.in_subquery(with_device_session))
            .add(Column::Id.in_subquery(with_one_time_token));
        let rows = user::Entity::find()
            .filter(has_tokens)
            .filter(Column::Id.gt(after.map_or(0, |id| id.0)))
            .order_by_asc(Column::Id)
            .limit(limit)
            .lock_exclusive()
            .all(&self.connection)
            .await?;
        rows.into_iter().map(to_record).collect()
    }
}

//! SQL statements for access tokens.

use chrono::{DateTime, Utc};
use entity::access_token::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Select,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::access_token::AccessToken;
use crate::model::label::Label;
use crate::model::scopes::Scopes;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{User, UserId};
use crate::store::database::Store;
use crate::store::token_digests::FoundTokens;
use crate::store::token_liveness::access_token_is_live;
use crate::store::transaction::Transaction;
use crate::store::user_columns::{USER_COLUMNS, select_user, to_user, user_of};
use crate::store::users::to_array;

/// An access token to be inserted.
#[derive(Debug)]
pub(crate) struct NewAccessToken {
    pub(crate) user: UserId,
    pub(crate) name: Label,
    pub(crate) digest: TokenDigest,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Returns the tokens with these digests, and the users who own the tokens.
    pub(crate) async fn find_access_tokens(
        &self,
        digests: &[TokenDigest],
    ) -> Result<FoundTokens<AccessToken>, Error> {
        let find = self.with_digests(select_with_user(), "symbolon_access_token.digest", digests);
        let convert = |row: &QueryResult| to_token_of_user(row).map(Some);
        self.find_tokens(digests, find, USER_COLUMNS + 2, convert)
            .await
    }

    /// Returns up to `limit` live tokens with an id greater than `after`, ordered by id, and their users.
    pub(crate) async fn live_access_tokens(
        &self,
        after: Option<i64>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(User, AccessToken)>, Error> {
        let tokens = select_with_user()
            .filter(access_token_is_live(now))
            .filter(Column::Id.gt(after.unwrap_or(0)))
            .order_by_asc(Column::Id)
            .limit(limit);
        let rows = self.readers.query_all(&tokens.into_query()).await?;
        rows.iter().map(to_token_of_user).collect()
    }

    /// Returns the tokens of several users, in the order of their creation.
    pub(crate) async fn access_tokens(&self, users: &[UserId]) -> Result<Vec<AccessToken>, Error> {
        let rows = select_by_user(users).all(&self.readers).await?;
        rows.into_iter().map(to_token).collect()
    }
}

impl Transaction {
    /// Returns the tokens of a user, in the order of their creation. Locks the rows until the transaction ends.
    pub(crate) async fn access_tokens(&self, user: UserId) -> Result<Vec<AccessToken>, Error> {
        let tokens = select_by_user(&[user]).lock_exclusive();
        let rows = tokens.all(&self.connection).await?;
        rows.into_iter().map(to_token).collect()
    }

    /// Inserts a token. Returns `None` if the user already has a token with this name.
    pub(crate) async fn insert_access_token(
        &self,
        new: NewAccessToken,
    ) -> Result<Option<AccessToken>, Error> {
        let row = access_token::ActiveModel {
            user_id: Set(new.user.0),
            name: Set(new.name.0),
            digest: Set(new.digest.0.to_vec()),
            scopes: Set(new.scopes.to_column()),
            created_at: Set(new.created_at.timestamp_millis()),
            expires_at: Set(new.expires_at.map(|at| at.timestamp_millis())),
            ..Default::default()
        };
        let inserted = access_token::Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_with_returning_many(&self.connection)
            .await?;
        inserted.into_iter().next().map(to_token).transpose()
    }

    /// Deletes a token.
    pub(crate) async fn delete_access_token(&self, token: &AccessToken) -> Result<(), Error> {
        self.invalidate_at_end(token.user);
        let delete = access_token::Entity::delete_by_id(token.id);
        self.execute(delete).await.map(drop)
    }

    /// Records the time of the last use of a token.
    pub(crate) async fn record_token_use(&self, id: i64, at: DateTime<Utc>) -> Result<(), Error> {
        let row = access_token::ActiveModel {
            last_used_at: Set(Some(at.timestamp_millis())),
            ..Default::default()
        };
        let unlocked = access_token::Entity::find_by_id(id)
            .select_only()
            .column(Column::Id)
            // Waiting for a locked row could cause a deadlock with a transaction that deletes several tokens. The next
            // use of the token is recorded instead.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let update = access_token::Entity::update_many()
            .set(row)
            .filter(Column::Id.in_subquery(unlocked));
        self.execute(update).await.map(drop)
    }

    /// Deletes the tokens that expired before `end`.
    pub(crate) async fn delete_expired_access_tokens(
        &self,
        end: DateTime<Utc>,
    ) -> Result<(), Error> {
        let expired = Column::ExpiresAt.lt(end.timestamp_millis());
        let delete = access_token::Entity::delete_many().filter(expired);
        self.execute(delete).await.map(drop)
    }
}

/// Returns a query for tokens and their users, whose rows [`to_token_of_user`] converts.
fn select_with_user() -> Select<access_token::Entity> {
    select_user(access_token::Entity::find().select_only())
        .columns([
            Column::Id,
            Column::Name,
            Column::Digest,
            Column::Scopes,
            Column::CreatedAt,
            Column::ExpiresAt,
            Column::LastUsedAt,
        ])
        .join(
            JoinType::InnerJoin,
            user_of::<access_token::Entity>(Column::UserId),
        )
}

/// Converts a row to a token and the user who owns the token.
fn to_token_of_user(row: &QueryResult) -> Result<(User, AccessToken), Error> {
    let user = to_user(row)?;
    let token = access_token::Model {
        id: row.try_get_by_index(USER_COLUMNS)?,
        user_id: user.id.0,
        name: row.try_get_by_index(USER_COLUMNS + 1)?,
        digest: row.try_get_by_index(USER_COLUMNS + 2)?,
        scopes: row.try_get_by_index(USER_COLUMNS + 3)?,
        created_at: row.try_get_by_index(USER_COLUMNS + 4)?,
        expires_at: row.try_get_by_index(USER_COLUMNS + 5)?,
        last_used_at: row.try_get_by_index(USER_COLUMNS + 6)?,
    };
    Ok((user, to_token(token)?))
}

fn select_by_user(users: &[UserId]) -> Select<access_token::Entity> {
    access_token::Entity::find()
        .filter(Column::UserId.is_in(users.iter().map(|user| user.0)))
        .order_by_asc(Column::Id)
}

fn to_token(row: access_token::Model) -> Result<AccessToken, Error> {
    Ok(AccessToken {
        id: row.id,
        user: UserId(row.user_id),
        name: row.name,
        digest: TokenDigest(to_array(row.digest)?),
        scopes: Scopes::from_column(&row.scopes),
        created_at: at(row.created_at),
        expires_at: row.expires_at.map(at),
        last_used_at: row.last_used_at.map(at),
    })
}

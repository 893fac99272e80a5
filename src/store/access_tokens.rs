//! Access tokens: look up, insert, delete.

use chrono::{DateTime, Utc};
use entity::access_token;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select, TryInsertResult,
    sea_query::OnConflict,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::access_token::{AccessToken, TokenName};
use crate::model::scopes::Scopes;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::store::liveness::access_token_is_live;
use crate::store::users::bytes;
use crate::store::{Store, Transaction};

/// What it takes to insert an access token.
#[derive(Debug)]
pub(crate) struct NewAccessToken {
    pub(crate) user: UserId,
    pub(crate) name: TokenName,
    pub(crate) digest: TokenDigest,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The token with this digest, and whose it is.
    pub(crate) async fn access_by_digest(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<(UserRecord, AccessToken)>, Error> {
        let row = access_token::Entity::find()
            .filter(access_token::Column::Digest.eq(digest.0.to_vec()))
            .one(&self.readers)
            .await?;
        let Some(token) = row.map(token).transpose()? else {
            return Ok(None);
        };
        let account = self.find_user_by_id(token.user).await?;
        Ok(account.map(|account| (account, token)))
    }

    /// The tokens after the one of this number that have not expired by `now`, in the order of their
    /// numbers, and whose they are.
    pub(crate) async fn live_access_tokens(
        &self,
        after: Option<i64>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(UserRecord, AccessToken)>, Error> {
        let rows = access_token::Entity::find()
            .filter(access_token_is_live(now))
            .filter(access_token::Column::Id.gt(after.unwrap_or(0)))
            .order_by_asc(access_token::Column::Id)
            .limit(limit)
            .all(&self.readers)
            .await?;
        let mut live = Vec::with_capacity(rows.len());
        for row in rows {
            let token = token(row)?;
            let account = self.find_user_by_id(token.user).await?;
            live.extend(account.map(|account| (account, token)));
        }
        Ok(live)
    }

    /// The tokens of several accounts, each account's in the order in which they were made.
    pub(crate) async fn access_tokens(&self, users: &[UserId]) -> Result<Vec<AccessToken>, Error> {
        let rows = of(users).all(&self.readers).await?;
        rows.into_iter().map(token).collect()
    }
}

impl Transaction {
    /// The tokens of an account, in the order in which they were made. Other transactions do not change
    /// them before the end of this one.
    pub(crate) async fn access_tokens(&self, user: UserId) -> Result<Vec<AccessToken>, Error> {
        let rows = of(&[user]).lock_exclusive().all(&self.transaction).await?;
        rows.into_iter().map(token).collect()
    }

    /// Inserts a token; `None` if another of the same owner has its name.
    pub(crate) async fn insert_access_token(
        &self,
        new: NewAccessToken,
    ) -> Result<Option<AccessToken>, Error> {
        let row = access_token::ActiveModel {
            user_id: Set(new.user.0),
            name: Set(new.name.0.clone()),
            digest: Set(new.digest.0.to_vec()),
            scopes: Set(new.scopes.to_column()),
            created_at: Set(new.created_at.timestamp_millis()),
            expires_at: Set(new.expires_at.map(|at| at.timestamp_millis())),
            ..Default::default()
        };
        let inserted = access_token::Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec(&self.transaction)
            .await?;
        Ok(match inserted {
            TryInsertResult::Inserted(row) => Some(AccessToken {
                id: row.last_insert_id,
                user: new.user,
                name: new.name.0,
                digest: new.digest,
                scopes: new.scopes,
                created_at: new.created_at,
                expires_at: new.expires_at,
                last_used_at: None,
            }),
            TryInsertResult::Conflicted | TryInsertResult::Empty => None,
        })
    }

    /// Deletes a token.
    pub(crate) async fn delete_access_token(&self, token: &AccessToken) -> Result<(), Error> {
        self.affects(token.user);
        access_token::Entity::delete_by_id(token.id)
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    /// Notes when a token was last used.
    pub(crate) async fn record_use(&self, id: i64, at: DateTime<Utc>) -> Result<(), Error> {
        access_token::Entity::update_many()
            .set(access_token::ActiveModel {
                last_used_at: Set(Some(at.timestamp_millis())),
                ..Default::default()
            })
            .filter(access_token::Column::Id.eq(id))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    /// Deletes the tokens that expired before `end`.
    pub(crate) async fn delete_expired_access_tokens(
        &self,
        end: DateTime<Utc>,
    ) -> Result<(), Error> {
        access_token::Entity::delete_many()
            .filter(access_token::Column::ExpiresAt.lt(end.timestamp_millis()))
            .exec(&self.transaction)
            .await?;
        Ok(())
    }
}

fn of(users: &[UserId]) -> Select<access_token::Entity> {
    access_token::Entity::find()
        .filter(access_token::Column::UserId.is_in(users.iter().map(|user| user.0)))
        .order_by_asc(access_token::Column::Id)
}

fn token(row: access_token::Model) -> Result<AccessToken, Error> {
    Ok(AccessToken {
        id: row.id,
        user: UserId(row.user_id),
        name: row.name,
        digest: TokenDigest(bytes(row.digest)?),
        scopes: Scopes::from_column(&row.scopes),
        created_at: at(row.created_at),
        expires_at: row.expires_at.map(at),
        last_used_at: row.last_used_at.map(at),
    })
}

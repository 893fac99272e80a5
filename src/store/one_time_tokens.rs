//! SQL statements for one-time tokens.

use chrono::{DateTime, Utc};
use entity::one_time_token::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select};

use crate::clock::at;
use crate::error::Error;
use crate::model::one_time_token::{OneTimeToken, TokenPurpose};
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::store::database::Store;
use crate::store::transaction::Transaction;
use crate::store::users::to_array;

impl Store {
    /// Returns the token with this digest. The token may have been used or expired.
    pub(crate) async fn find_one_time_token(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<OneTimeToken>, Error> {
        let row = select_by_digest(digest).one(&self.readers).await?;
        row.map_or(Ok(None), to_token)
    }
}

impl Transaction {
    /// Returns the token with this digest, and locks the row until the transaction ends.
    pub(crate) async fn lock_one_time_token(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<OneTimeToken>, Error> {
        let token = select_by_digest(digest).lock_exclusive();
        let row = token.one(&self.connection).await?;
        row.map_or(Ok(None), to_token)
    }

    /// Inserts a token.
    pub(crate) async fn insert_one_time_token(&self, new: &OneTimeToken) -> Result<(), Error> {
        let row = one_time_token::ActiveModel {
            digest: Set(new.digest.0.to_vec()),
            purpose: Set(new.purpose.name().to_owned()),
            user_id: Set(new.user.0),
            created_at: Set(new.created_at.timestamp_millis()),
            expires_at: Set(new.expires_at.timestamp_millis()),
            used_at: Set(new.used_at.map(|at| at.timestamp_millis())),
            ..Default::default()
        };
        self.execute(one_time_token::Entity::insert(row))
            .await
            .map(drop)
    }

    /// Marks a token as used. If the token has been used, has expired or was deleted since it was read, changes
    /// nothing and returns `false`.
    pub(crate) async fn use_one_time_token(
        &self,
        token: &OneTimeToken,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = one_time_token::Entity::update_many()
            .set(one_time_token::ActiveModel {
                used_at: Set(Some(now.timestamp_millis())),
                ..Default::default()
            })
            .filter(Column::Digest.eq(token.digest.0.to_vec()))
            .filter(Column::UserId.eq(token.user.0))
            .filter(Column::UsedAt.is_null())
            .filter(Column::ExpiresAt.gt(now.timestamp_millis()));
        Ok(self.execute(update).await? > 0)
    }

    /// Deletes the unused tokens of a user: those with this purpose, or all of them if `purpose` is `None`. Used tokens
    /// are kept, so that a second use is reported as such.
    pub(crate) async fn delete_unused_one_time_tokens(
        &self,
        user: UserId,
        purpose: Option<TokenPurpose>,
    ) -> Result<(), Error> {
        let delete = one_time_token::Entity::delete_many()
            .filter(Column::UserId.eq(user.0))
            .filter(Column::UsedAt.is_null())
            .apply_if(purpose, |delete, purpose| {
                delete.filter(Column::Purpose.eq(purpose.name()))
            });
        self.execute(delete).await.map(drop)
    }

    /// Deletes all tokens of a user.
    pub(super) async fn delete_one_time_tokens(&self, user: UserId) -> Result<(), Error> {
        let delete = one_time_token::Entity::delete_many().filter(Column::UserId.eq(user.0));
        self.execute(delete).await.map(drop)
    }

    /// Deletes the tokens that expired or were used before `end`.
    pub(crate) async fn delete_outdated_one_time_tokens(
        &self,
        end: DateTime<Utc>,
    ) -> Result<(), Error> {
        let end = end.timestamp_millis();
        let outdated = Condition::any()
            .add(Column::ExpiresAt.lt(end))
            .add(Column::UsedAt.lt(end));
        let delete = one_time_token::Entity::delete_many().filter(outdated);
        self.execute(delete).await.map(drop)
    }
}

fn select_by_digest(digest: &TokenDigest) -> Select<one_time_token::Entity> {
    one_time_token::Entity::find().filter(Column::Digest.eq(digest.0.to_vec()))
}

/// Converts a row to a token. Returns `None` if a later version of Symbolon stored a purpose that this version does not
/// know.
fn to_token(row: one_time_token::Model) -> Result<Option<OneTimeToken>, Error> {
    let Some(purpose) = TokenPurpose::from_name(&row.purpose) else {
        return Ok(None);
    };
    Ok(Some(OneTimeToken {
        user: UserId(row.user_id),
        purpose,
        digest: TokenDigest(to_array(row.digest)?),
        created_at: at(row.created_at),
        expires_at: at(row.expires_at),
        used_at: row.used_at.map(at),
    }))
}

//! The session token of an account: three columns of the user entity.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, UpdateMany};

use crate::error::Error;
use crate::model::token::{Session, TokenDigest};
use crate::model::user::Account;
use crate::store::Store;

/// Which session a new one may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Only the one, or none, that the account was read with.
    AsRead,
    /// Whatever is there.
    Any,
}

impl Store {
    /// Gives `account` a new session. False, and nothing is changed, if the password is no longer
    /// the one that was verified, the account was disabled, or `replace` does not allow it.
    pub(crate) async fn replace_session(
        &self,
        account: &Account,
        replace: Replace,
        new: &Session,
        signed_in_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let replaced = match (replace, &account.session) {
            (Replace::Any, _) => Condition::all(),
            (Replace::AsRead, None) => Condition::all().add(user::Column::TokenDigest.is_null()),
            (Replace::AsRead, Some(old)) => Condition::all()
                .add(user::Column::TokenDigest.eq(old.digest.0.to_vec()))
                .add(user::Column::TokenExpiration.eq(old.expires_at.timestamp_millis())),
        };
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_digest: Set(Some(new.digest.0.to_vec())),
                token_nonce: Set(new.nonce.map(|nonce| nonce.0.to_vec())),
                token_expiration: Set(Some(new.expires_at.timestamp_millis())),
                last_sign_in_at: Set(Some(signed_in_at.timestamp_millis())),
                ..Default::default()
            })
            .filter(as_verified(account))
            .filter(replaced);
        self.changes_a_row(update).await
    }

    /// Notes that the password was accepted. False if it is no longer the one that was verified, or
    /// the account was disabled.
    pub(crate) async fn record_sign_in(
        &self,
        account: &Account,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                last_sign_in_at: Set(Some(at.timestamp_millis())),
                ..Default::default()
            })
            .filter(as_verified(account));
        self.changes_a_row(update).await
    }

    /// Drops the nonce of the session with this digest, and sets its expiration to `expired_at`.
    /// False if it had no nonce any more.
    pub(crate) async fn end_session(
        &self,
        digest: &TokenDigest,
        expired_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_nonce: Set(None),
                token_expiration: Set(Some(expired_at.timestamp_millis())),
                ..Default::default()
            })
            .filter(user::Column::TokenDigest.eq(digest.0.to_vec()))
            .filter(user::Column::TokenNonce.is_not_null());
        self.changes_a_row(update).await
    }

    async fn changes_a_row(&self, update: UpdateMany<user::Entity>) -> Result<bool, Error> {
        Ok(update.exec(&self.writer).await?.rows_affected > 0)
    }
}

fn as_verified(account: &Account) -> Condition {
    Condition::all()
        .add(user::Column::Id.eq(account.user.id.0))
        .add(user::Column::PasswordVersion.eq(account.password_version))
        .add(user::Column::DisabledAt.is_null())
}

//! SQL statements for sign-ins and password changes, which require that the verified password is unchanged.

use chrono::{DateTime, Utc};
use entity::user::{self, Column};
use entity::{access_token, session};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter};

use crate::error::Error;
use crate::model::password_hash::PasswordHash;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::store::shared_sessions::may_have_live_session;
use crate::store::transaction::Transaction;
use crate::store::users::{to_record, with_password};

impl Transaction {
    /// Records that the password was accepted, and stores the new hash `rehashed` if there is one. Returns the user,
    /// whose row remains locked until the transaction ends. If the password has changed since its verification, or
    /// if the user is disabled, changes nothing and returns `None`.
    pub(crate) async fn record_sign_in(
        &self,
        verified: &UserRecord,
        rehashed: Option<PasswordHash>,
        at: DateTime<Utc>,
    ) -> Result<Option<UserRecord>, Error> {
        let rows = user::Entity::update_many()
            .set(user::ActiveModel {
                last_sign_in_at: Set(Some(at.timestamp_millis())),
                password_hash: rehashed.map_or(NotSet, |hash| Set(hash.0)),
                ..Default::default()
            })
            .filter(Column::Id.eq(verified.user.id.0))
            .filter(is_as_verified(verified))
            .exec_with_returning(&self.connection)
            .await?;
        let record = rows.into_iter().next().map(to_record).transpose()?;
        if let Some(record) = &record {
            let user = record.user.id;
            if may_have_live_session(record, at) || self.has_other_tokens(user).await? {
                self.invalidate_at_end(user);
            } else if record.session.is_some() {
                // Another process may have revoked the session, and this process may not know about the revocation
                // yet.
                self.invalidate_in_this_process(user);
            }
        }
        Ok(record)
    }

    /// Returns whether a user has access tokens or device sessions.
    async fn has_other_tokens(&self, user: UserId) -> Result<bool, Error> {
        let tokens = access_token::Entity::find()
            .filter(access_token::Column::UserId.eq(user.0))
            .count(&self.connection);
        if tokens.await? > 0 {
            return Ok(true);
        }
        let sessions = session::Entity::find()
            .filter(session::Column::UserId.eq(user.0))
            .filter(session::Column::Device.is_not_null())
            .count(&self.connection);
        Ok(sessions.await? > 0)
    }

    /// Sets the password of a user. If the password has changed since its verification, or if the
    /// user is disabled, changes nothing and returns `false`.
    pub(crate) async fn change_password(
        &self,
        verified: &UserRecord,
        new: &PasswordHash,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many().set(user::ActiveModel {
            last_sign_in_at: Set(Some(at.timestamp_millis())),
            ..Default::default()
        });
        let update = with_password(update, new).filter(is_as_verified(verified));
        Ok(self.update_user(verified.user.id, update).await? > 0)
    }
}

/// Returns the condition for a user who is not disabled and whose password has not changed since it was verified.
fn is_as_verified(verified: &UserRecord) -> Condition {
    Condition::all()
        .add(Column::PasswordVersion.eq(verified.password_version))
        .add(Column::DisabledAt.is_null())
}

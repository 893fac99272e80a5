//! What changes in the row of an account.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    SqlErr,
};

use crate::error::Error;
use crate::model::email::Email;
use crate::model::password::PasswordHash;
use crate::model::session::Session;
use crate::model::user::{Role, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::model::validation::FieldChange;
use crate::store::Transaction;
use crate::store::sessions::{as_verified, ended, with_session};
use crate::store::users::{account, stored};

/// What PostgreSQL locks while the number of admins may sink.
const LAST_ADMIN: i64 = i64::from_be_bytes(*b"symb-adm");

/// What a profile is changed to.
#[derive(Debug)]
pub(crate) struct ProfileChange {
    pub(crate) username: FieldChange<Username>,
    /// `None` removes it.
    pub(crate) email: FieldChange<Option<Email>>,
}

impl Transaction {
    /// The account as it is, which nobody else changes before the end of this transaction. Whoever
    /// needs several takes them in the order of their ids: otherwise two would wait for each other.
    ///
    /// Its cached identities are invalidated, also without a commit: the answer that nothing had to be
    /// changed must not be contradicted by the cache.
    pub(crate) async fn lock_user(&self, id: UserId) -> Result<Option<UserRecord>, Error> {
        self.affects(id);
        let row = user::Entity::find_by_id(id.0)
            .lock_exclusive()
            .one(&self.transaction)
            .await?;
        row.map(account).transpose()
    }

    /// Whether somebody other than `id` is an admin and may sign in. Nobody else asks before the end of
    /// this transaction, or two could go who each saw the other stay.
    pub(crate) async fn has_other_active_admin(&self, id: UserId) -> Result<bool, Error> {
        if self.transaction.get_database_backend() == DbBackend::Postgres {
            let lock = format!("SELECT pg_advisory_xact_lock({LAST_ADMIN})");
            self.transaction.execute_unprepared(&lock).await?;
        }
        let others = user::Entity::find()
            .filter(user::Column::Role.eq(user::Role::Admin))
            .filter(user::Column::DisabledAt.is_null())
            .filter(user::Column::Id.ne(id.0))
            .count(&self.transaction)
            .await?;
        Ok(others > 0)
    }

    /// Gives the account another password and another session, as whoever knows the present one does
    /// who signs in. False, and nothing is changed, if the
    /// password is no longer the one that was verified, or the account was disabled.
    pub(crate) async fn change_password(
        &self,
        verified: &UserRecord,
        new: &PasswordHash,
        session: &Session,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                last_sign_in_at: Set(Some(at.timestamp_millis())),
                ..with_session(session)
            })
            .col_expr(user::Column::PasswordHash, Expr::val(new.0.as_str()))
            .col_expr(user::Column::PasswordVersion, next_version())
            .filter(as_verified(verified));
        self.affects(verified.user.id);
        self.changes_a_row(update).await
    }

    /// Gives an account another password, whatever it had.
    pub(crate) async fn set_password(&self, id: UserId, new: &PasswordHash) -> Result<(), Error> {
        let update = user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::val(new.0.as_str()))
            .col_expr(user::Column::PasswordVersion, next_version())
            .filter(user::Column::Id.eq(id.0));
        self.affects(id);
        self.changes_a_row(update).await.map(drop)
    }

    /// False, and nothing is changed, if another account has one of the values.
    pub(crate) async fn set_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<bool, Error> {
        let mut row = user::ActiveModel::default();
        if let FieldChange::Set(username) = &change.username {
            row.username = Set(username.display.clone());
            row.username_canonical = Set(username.canonical.clone());
        }
        if let FieldChange::Set(email) = &change.email {
            row.email = Set(email.as_ref().map(|email| email.display.clone()));
            row.email_canonical = Set(email.as_ref().map(|email| email.canonical.clone()));
        }
        // A statement has to set something.
        row.id = Set(id.0);
        self.affects(id);
        let done = user::Entity::update_many()
            .set(row)
            .filter(user::Column::Id.eq(id.0))
            .exec(&self.transaction)
            .await;
        match done {
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Ok(false)
            }
            done => Ok(done.map(|_| true)?),
        }
    }

    pub(crate) async fn set_role(&self, id: UserId, role: Role) -> Result<(), Error> {
        let role = user::ActiveModel {
            role: Set(stored(role)),
            ..Default::default()
        };
        self.update(id, role).await
    }

    /// Since when the account may not sign in; `None` if it may.
    pub(crate) async fn set_disabled(
        &self,
        id: UserId,
        since: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let disabled = user::ActiveModel {
            disabled_at: Set(since.map(|since| since.timestamp_millis())),
            ..Default::default()
        };
        self.update(id, disabled).await
    }

    /// Drops the nonce of the account's session, whatever it is, and sets its expiration.
    pub(crate) async fn end_session_of_user(
        &self,
        id: UserId,
        expired_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let update = user::Entity::update_many()
            .set(ended(expired_at))
            .filter(user::Column::Id.eq(id.0))
            .filter(user::Column::TokenNonce.is_not_null());
        self.affects(id);
        self.changes_a_row(update).await.map(drop)
    }

    /// Deletes the account, and where it was signed in to from.
    pub(crate) async fn delete_user(&self, id: UserId) -> Result<(), Error> {
        self.affects(id);
        self.delete_known_addresses(id).await?;
        user::Entity::delete_by_id(id.0)
            .exec(&self.transaction)
            .await?;
        Ok(())
    }

    async fn update(&self, id: UserId, change: user::ActiveModel) -> Result<(), Error> {
        let update = user::Entity::update_many()
            .set(change)
            .filter(user::Column::Id.eq(id.0));
        self.affects(id);
        self.changes_a_row(update).await.map(drop)
    }
}

fn next_version() -> Expr {
    use sea_orm::ExprTrait;
    Expr::col(user::Column::PasswordVersion).add(1)
}

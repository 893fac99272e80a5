//! SQL statements for users.

use chrono::{DateTime, Utc};
use entity::user::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    QuerySelect, UpdateMany,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::email::Email;
use crate::model::field_change::FieldChange;
use crate::model::password_hash::PasswordHash;
use crate::model::session_token::Nonce;
use crate::model::shared_session::SharedSession;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, User, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::store::database::Store;
use crate::store::transaction::Transaction;
use crate::store::user_columns::from_column;

/// The key of the PostgreSQL advisory lock that a transaction holds while it can reduce the number of admins.
const LAST_ADMIN: i64 = i64::from_be_bytes(*b"symb-adm");

/// A user to be inserted.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) username: Username,
    pub(crate) email: Option<Email>,
    pub(crate) password_hash: PasswordHash,
    pub(crate) role: Role,
    pub(crate) created_at: DateTime<Utc>,
    /// The time at which the user was disabled, if the user is imported as disabled.
    pub(crate) disabled_at: Option<DateTime<Utc>>,
}

/// A unique field whose value already belongs to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenField {
    Username,
    Email,
}

/// A change of a profile.
#[derive(Debug)]
pub(crate) struct ProfileChange {
    pub(crate) username: FieldChange<Username>,
    /// `None` removes the address.
    pub(crate) email: FieldChange<Option<Email>>,
}

impl Store {
    /// Returns the user whose username has this canonical form.
    pub(crate) async fn find_user_by_name(
        &self,
        canonical: &str,
    ) -> Result<Option<UserRecord>, Error> {
        self.find_user(Column::UsernameCanonical.eq(canonical))
            .await
    }

    /// Returns the user with this id.
    pub(crate) async fn find_user_by_id(&self, id: UserId) -> Result<Option<UserRecord>, Error> {
        self.find_user(Column::Id.eq(id.0)).await
    }

    async fn find_user(&self, condition: Expr) -> Result<Option<UserRecord>, Error> {
        let users = user::Entity::find().filter(condition);
        let row = users.one(&self.readers).await?;
        row.map(to_record).transpose()
    }

    /// Returns the fields whose values belong to a user other than `except`.
    pub(crate) async fn find_taken_fields(
        &self,
        username: Option<&Username>,
        email: Option<&Email>,
        except: Option<UserId>,
    ) -> Result<Vec<TakenField>, Error> {
        let username = username.map(|username| {
            let condition = Column::UsernameCanonical.eq(&username.canonical);
            (TakenField::Username, condition)
        });
        let email = email.map(|email| {
            let condition = Column::EmailCanonical.eq(&email.canonical);
            (TakenField::Email, condition)
        });
        let mut taken = Vec::new();
        for (field, condition) in username.into_iter().chain(email) {
            let record = self.find_user(condition).await?;
            if record.is_some_and(|record| Some(record.user.id) != except) {
                taken.push(field);
            }
        }
        Ok(taken)
    }

    /// Returns the number of users.
    pub(crate) async fn count_users(&self) -> Result<u64, Error> {
        Ok(user::Entity::find().count(&self.readers).await?)
    }
}

impl Transaction {
    /// Inserts a user. Returns `None` if the username or the e-mail address is already in use.
    pub(crate) async fn insert_user(&self, new: NewUser) -> Result<Option<UserId>, Error> {
        let inserted = user::Entity::insert(to_row(new))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_with_returning_keys(&self.connection)
            .await?;
        Ok(inserted.into_iter().next().map(UserId))
    }

    /// Returns a user and locks the row until the transaction ends. To prevent deadlocks, a transaction must lock
    /// several users in ascending order of their ids.
    ///
    /// When the transaction ends, the cached identities of the user are invalidated, even if the transaction is not
    /// committed. Otherwise, the cache could contradict an operation that found nothing to change.
    pub(crate) async fn lock_user(&self, id: UserId) -> Result<Option<UserRecord>, Error> {
        self.invalidate_at_end(id);
        let user = user::Entity::find_by_id(id.0).lock_exclusive();
        let row = user.one(&self.connection).await?;
        row.map(to_record).transpose()
    }

    /// Returns whether an admin other than `id` exists, is not disabled and has a password. Other transactions that
    /// call this function wait until this transaction ends. Otherwise, two concurrent transactions could each find the
    /// admin that the other transaction removes.
    pub(crate) async fn lock_and_find_other_admin(&self, id: UserId) -> Result<bool, Error> {
        if self.connection.get_database_backend() == DbBackend::Postgres {
            let lock = format!("SELECT pg_advisory_xact_lock({LAST_ADMIN})");
            self.connection.execute_unprepared(&lock).await?;
        }
        let others = user::Entity::find()
            .filter(Column::Role.eq(user::Role::Admin))
            .filter(Column::DisabledAt.is_null())
            .filter(Column::PasswordHash.ne(PasswordHash::unusable().0))
            .filter(Column::Id.ne(id.0))
            .count(&self.connection)
            .await?;
        Ok(others > 0)
    }

    /// Sets the password of a user.
    pub(crate) async fn set_password(&self, id: UserId, new: &PasswordHash) -> Result<(), Error> {
        let update = with_password(user::Entity::update_many(), new);
        self.update_user(id, update).await.map(drop)
    }

    /// Changes the profile of a user. If one of the values belongs to another user, changes nothing and returns
    /// `false`.
    pub(crate) async fn set_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<bool, Error> {
        let mut row = user::ActiveModel {
            // An `UPDATE` statement that sets no column would be invalid.
            id: Set(id.0),
            ..Default::default()
        };
        if let FieldChange::Set(username) = &change.username {
            row.username = Set(username.display.clone());
            row.username_canonical = Set(username.canonical.clone());
        }
        if let FieldChange::Set(email) = &change.email {
            row.email = Set(email.as_ref().map(|email| email.display.clone()));
            row.email_canonical = Set(email.as_ref().map(|email| email.canonical.clone()));
        }
        self.invalidate_at_end(id);
        let update = user::Entity::update_many().set(row);
        self.execute_if_unique(update.filter(Column::Id.eq(id.0)))
            .await
    }

    /// Sets the role of a user.
    pub(crate) async fn set_role(&self, id: UserId, role: Role) -> Result<(), Error> {
        let row = user::ActiveModel {
            role: Set(to_column(role)),
            ..Default::default()
        };
        let update = user::Entity::update_many().set(row);
        self.update_user(id, update).await.map(drop)
    }

    /// Sets the time since which a user has been disabled. `None` enables the user.
    pub(crate) async fn set_disabled(
        &self,
        id: UserId,
        since: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let row = user::ActiveModel {
            disabled_at: Set(since.map(|since| since.timestamp_millis())),
            ..Default::default()
        };
        let update = user::Entity::update_many().set(row);
        self.update_user(id, update).await.map(drop)
    }

    /// Deletes a user, and the known addresses, the sessions and the one-time tokens of the user.
    pub(crate) async fn delete_user(&self, id: UserId) -> Result<(), Error> {
        self.invalidate_at_end(id);
        self.delete_known_addresses(id).await?;
        self.delete_sessions(id).await?;
        self.delete_one_time_tokens(id).await?;
        self.execute(user::Entity::delete_by_id(id.0))
            .await
            .map(drop)
    }

    /// Updates the row of a user. Returns the number of updated rows, which is 0 if a filter of the statement
    /// excludes the user.
    pub(super) async fn update_user(
        &self,
        id: UserId,
        update: UpdateMany<user::Entity>,
    ) -> Result<u64, Error> {
        self.invalidate_at_end(id);
        self.execute(update.filter(Column::Id.eq(id.0))).await
    }
}

/// Sets the new password hash and increments the password version.
pub(super) fn with_password(
    update: UpdateMany<user::Entity>,
    hash: &PasswordHash,
) -> UpdateMany<user::Entity> {
    let next_version = Expr::col(Column::PasswordVersion).add(1);
    update
        .col_expr(Column::PasswordHash, Expr::val(hash.0.as_str()))
        .col_expr(Column::PasswordVersion, next_version)
}

/// Converts a new user to a row.
pub(super) fn to_row(new: NewUser) -> user::ActiveModel {
    user::ActiveModel {
        username: Set(new.username.display),
        username_canonical: Set(new.username.canonical),
        email: Set(new.email.as_ref().map(|email| email.display.clone())),
        email_canonical: Set(new.email.map(|email| email.canonical)),
        password_hash: Set(new.password_hash.0),
        password_version: Set(1),
        role: Set(to_column(new.role)),
        created_at: Set(new.created_at.timestamp_millis()),
        disabled_at: Set(new.disabled_at.map(|at| at.timestamp_millis())),
        ..Default::default()
    }
}

fn to_column(role: Role) -> user::Role {
    match role {
        Role::User => user::Role::User,
        Role::Admin => user::Role::Admin,
    }
}

/// Converts a row to a user.
pub(super) fn to_record(row: user::Model) -> Result<UserRecord, Error> {
    let session = match (row.token_digest, row.token_expiration) {
        (Some(digest), Some(expires_at)) => Some(SharedSession {
            digest: TokenDigest(to_array(digest)?),
            nonce: row.token_nonce.map(to_array).transpose()?.map(Nonce),
            expires_at: at(expires_at),
        }),
        _ => None,
    };
    let password_hash = PasswordHash(row.password_hash);
    Ok(UserRecord {
        user: User {
            id: UserId(row.id),
            username: row.username,
            email: row.email,
            role: from_column(row.role),
            created_at: at(row.created_at),
            last_sign_in_at: row.last_sign_in_at.map(at),
            disabled_at: row.disabled_at.map(at),
            has_password: password_hash.is_usable(),
        },
        password_hash,
        password_version: row.password_version,
        session,
    })
}

/// Converts a binary column to an array of fixed length.
pub(super) fn to_array<const N: usize>(column: Vec<u8>) -> Result<[u8; N], Error> {
    column
        .try_into()
        .map_err(|_| Error::internal("a column has the wrong number of bytes"))
}

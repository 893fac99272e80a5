//! Accounts: look up, page through, insert.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    TryInsertResult,
    sea_query::{Expr, OnConflict},
};

use crate::clock::at;
use crate::error::Error;
use crate::model::email::Email;
use crate::model::pagination::PageRequest;
use crate::model::password::PasswordHash;
use crate::model::session::Session;
use crate::model::session_token::Nonce;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, User, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::store::{Store, Transaction};

/// What it takes to insert an account.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) username: Username,
    pub(crate) email: Option<Email>,
    pub(crate) password_hash: PasswordHash,
    pub(crate) role: Role,
    pub(crate) created_at: DateTime<Utc>,
}

/// A value that has to be unique, and is another account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenField {
    Username,
    Email,
}

impl Store {
    /// The account whose name has this canonical form.
    pub(crate) async fn find_user_by_name(
        &self,
        canonical: &str,
    ) -> Result<Option<UserRecord>, Error> {
        self.account(user::Column::UsernameCanonical.eq(canonical))
            .await
    }

    pub(crate) async fn find_user_by_id(&self, id: UserId) -> Result<Option<UserRecord>, Error> {
        self.account(user::Column::Id.eq(id.0)).await
    }

    pub(crate) async fn find_user_by_session_digest(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<UserRecord>, Error> {
        self.account(user::Column::TokenDigest.eq(digest.0.to_vec()))
            .await
    }

    async fn account(&self, which: Expr) -> Result<Option<UserRecord>, Error> {
        let row = user::Entity::find()
            .filter(which)
            .one(&self.readers)
            .await?;
        row.map(account).transpose()
    }

    /// Which of the values accounts other than `own` have already.
    pub(crate) async fn find_taken_fields(
        &self,
        username: Option<&Username>,
        email: Option<&Email>,
        own: Option<UserId>,
    ) -> Result<Vec<TakenField>, Error> {
        let is_anothers = async |which| {
            let account = self.account(which).await?;
            Ok::<_, Error>(account.is_some_and(|account| Some(account.user.id) != own))
        };
        let mut taken = Vec::new();
        if let Some(username) = username {
            let name = user::Column::UsernameCanonical.eq(&username.canonical);
            if is_anothers(name).await? {
                taken.push(TakenField::Username);
            }
        }
        if let Some(email) = email {
            let email = user::Column::EmailCanonical.eq(&email.canonical);
            if is_anothers(email).await? {
                taken.push(TakenField::Email);
            }
        }
        Ok(taken)
    }

    /// The accounts of a page, in ascending order of their ids, which are their positions.
    pub(crate) async fn users(&self, page: PageRequest) -> Result<Vec<User>, Error> {
        let mut query = user::Entity::find();
        if let Some(after) = page.after {
            query = query.filter(user::Column::Id.gt(after));
        }
        if let Some(before) = page.before {
            query = query.filter(user::Column::Id.lt(before));
        }
        query = if page.backwards {
            query.order_by_desc(user::Column::Id)
        } else {
            query.order_by_asc(user::Column::Id)
        };
        let rows = query.limit(page.limit).all(&self.readers).await?;
        let mut users = rows
            .into_iter()
            .map(|row| Ok(account(row)?.user))
            .collect::<Result<Vec<_>, Error>>()?;
        if page.backwards {
            users.reverse();
        }
        Ok(users)
    }

    pub(crate) async fn count_users(&self) -> Result<u64, Error> {
        Ok(user::Entity::find().count(&self.readers).await?)
    }
}

impl Transaction {
    /// Inserts an account; `None` if another one has its name or its e-mail address.
    pub(crate) async fn insert_user(&self, new: NewUser) -> Result<Option<UserId>, Error> {
        let inserted = user::Entity::insert(row(new))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec(&self.transaction)
            .await?;
        Ok(match inserted {
            TryInsertResult::Inserted(row) => Some(UserId(row.last_insert_id)),
            TryInsertResult::Conflicted | TryInsertResult::Empty => None,
        })
    }
}

/// The row of an account to be.
pub(super) fn row(new: NewUser) -> user::ActiveModel {
    user::ActiveModel {
        username: Set(new.username.display),
        username_canonical: Set(new.username.canonical),
        email: Set(new.email.as_ref().map(|email| email.display.clone())),
        email_canonical: Set(new.email.map(|email| email.canonical)),
        password_hash: Set(new.password_hash.0),
        password_version: Set(1),
        role: Set(stored(new.role)),
        created_at: Set(new.created_at.timestamp_millis()),
        ..Default::default()
    }
}

pub(super) fn stored(role: Role) -> user::Role {
    match role {
        Role::User => user::Role::User,
        Role::Admin => user::Role::Admin,
    }
}

pub(super) fn account(row: user::Model) -> Result<UserRecord, Error> {
    let session = match (row.token_digest, row.token_expiration) {
        (Some(digest), Some(expires_at)) => Some(Session {
            digest: TokenDigest(bytes(digest)?),
            nonce: row.token_nonce.map(bytes).transpose()?.map(Nonce),
            expires_at: at(expires_at),
        }),
        _ => None,
    };
    Ok(UserRecord {
        user: User {
            id: UserId(row.id),
            username: row.username,
            email: row.email,
            role: match row.role {
                user::Role::User => Role::User,
                user::Role::Admin => Role::Admin,
            },
            created_at: at(row.created_at),
            last_sign_in_at: row.last_sign_in_at.map(at),
            disabled_at: row.disabled_at.map(at),
        },
        password_hash: PasswordHash(row.password_hash),
        password_version: row.password_version,
        session,
    })
}

pub(super) fn bytes<const N: usize>(column: Vec<u8>) -> Result<[u8; N], Error> {
    column
        .try_into()
        .map_err(|_| Error::internal("a column has the wrong number of bytes"))
}

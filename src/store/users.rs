//! Accounts: look up, insert, page through.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr,
    sea_query::Expr,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::password::PasswordHash;
use crate::model::token::{Nonce, Session, TokenDigest};
use crate::model::user::{Account, Email, PageRequest, Role, User, UserId, Username};
use crate::store::Store;

/// What it takes to insert an account.
#[derive(Debug)]
pub(crate) struct NewUser {
    pub(crate) username: Username,
    pub(crate) email: Option<Email>,
    pub(crate) password_hash: PasswordHash,
    pub(crate) created_at: DateTime<Utc>,
}

/// A value that has to be unique, and is another account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenField {
    Username,
    Email,
}

impl Store {
    pub(crate) async fn account_by_username(
        &self,
        username: &Username,
    ) -> Result<Option<Account>, Error> {
        self.account(user::Column::UsernameCanonical.eq(&username.canonical))
            .await
    }

    pub(crate) async fn account_by_id(&self, id: UserId) -> Result<Option<Account>, Error> {
        self.account(user::Column::Id.eq(id.0)).await
    }

    pub(crate) async fn account_by_digest(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<Account>, Error> {
        self.account(user::Column::TokenDigest.eq(digest.0.to_vec()))
            .await
    }

    async fn account(&self, which: Expr) -> Result<Option<Account>, Error> {
        let row = user::Entity::find()
            .filter(which)
            .one(&self.readers)
            .await?;
        row.map(account).transpose()
    }

    /// Which of the values other accounts have already.
    pub(crate) async fn taken(
        &self,
        username: &Username,
        email: Option<&Email>,
    ) -> Result<Vec<TakenField>, Error> {
        let mut taken = Vec::new();
        let name = user::Column::UsernameCanonical.eq(&username.canonical);
        if self.account(name).await?.is_some() {
            taken.push(TakenField::Username);
        }
        if let Some(email) = email {
            let email = user::Column::EmailCanonical.eq(&email.canonical);
            if self.account(email).await?.is_some() {
                taken.push(TakenField::Email);
            }
        }
        Ok(taken)
    }

    /// Inserts an account; the inner error says which of its values other accounts have.
    pub(crate) async fn insert_user(
        &self,
        new: NewUser,
    ) -> Result<Result<User, Vec<TakenField>>, Error> {
        let row = user::ActiveModel {
            username: Set(new.username.display.clone()),
            username_canonical: Set(new.username.canonical.clone()),
            email: Set(new.email.as_ref().map(|email| email.display.clone())),
            email_canonical: Set(new.email.as_ref().map(|email| email.canonical.clone())),
            password_hash: Set(new.password_hash.0),
            password_version: Set(1),
            role: Set(user::Role::User),
            created_at: Set(new.created_at.timestamp_millis()),
            ..Default::default()
        };
        let inserted = user::Entity::insert(row)
            .exec_with_returning(&self.writer)
            .await;
        let error = match inserted {
            Ok(row) => return Ok(Ok(account(row)?.user)),
            Err(error) => error,
        };
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            let taken = self.taken(&new.username, new.email.as_ref()).await?;
            if !taken.is_empty() {
                return Ok(Err(taken));
            }
        }
        Err(error.into())
    }

    /// Puts a new hash of the same password in the place of `old`, if it is still there.
    pub(crate) async fn rehash_password(
        &self,
        id: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), Error> {
        user::Entity::update_many()
            .set(user::ActiveModel {
                password_hash: Set(new.0.clone()),
                ..Default::default()
            })
            .filter(user::Column::Id.eq(id.0))
            .filter(user::Column::PasswordHash.eq(&old.0))
            .exec(&self.writer)
            .await?;
        Ok(())
    }

    /// The accounts of a page, in ascending order of their ids.
    pub(crate) async fn users(&self, page: PageRequest) -> Result<Vec<User>, Error> {
        let mut query = user::Entity::find();
        if let Some(after) = page.after {
            query = query.filter(user::Column::Id.gt(after.0));
        }
        if let Some(before) = page.before {
            query = query.filter(user::Column::Id.lt(before.0));
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

fn account(row: user::Model) -> Result<Account, Error> {
    let session = match (row.token_digest, row.token_expiration) {
        (Some(digest), Some(expires_at)) => Some(Session {
            digest: TokenDigest(bytes(digest)?),
            nonce: row.token_nonce.map(bytes).transpose()?.map(Nonce),
            expires_at: at(expires_at),
        }),
        _ => None,
    };
    Ok(Account {
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
        },
        password_hash: PasswordHash(row.password_hash),
        password_version: row.password_version,
        disabled: row.disabled_at.is_some(),
        session,
    })
}

fn bytes<const N: usize>(column: Vec<u8>) -> Result<[u8; N], Error> {
    column
        .try_into()
        .map_err(|_| Error::internal("a column has the wrong number of bytes"))
}

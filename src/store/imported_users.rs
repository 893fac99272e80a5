//! Many accounts at once.

use std::collections::HashSet;

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, SqlErr};

use crate::error::Error;
use crate::store::users::{NewUser, row};
use crate::store::{Store, Transaction};

/// Names and addresses that accounts have, as they are compared.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) usernames: HashSet<String>,
    pub(crate) emails: HashSet<String>,
}

impl Store {
    /// Which of these names and addresses accounts have.
    pub(crate) async fn find_existing(&self, wanted: &Taken) -> Result<Taken, Error> {
        find_existing(&self.readers, wanted).await
    }
}

impl Transaction {
    /// Which of these names and addresses accounts have.
    pub(crate) async fn find_existing(&self, wanted: &Taken) -> Result<Taken, Error> {
        find_existing(&self.transaction, wanted).await
    }

    /// Inserts accounts whose names and addresses are free. False if one is not any more; nothing else
    /// can be done in this transaction then.
    pub(crate) async fn insert_users(&self, new: Vec<NewUser>) -> Result<bool, Error> {
        if new.is_empty() {
            return Ok(true);
        }
        let done = user::Entity::insert_many(new.into_iter().map(row))
            .exec_without_returning(&self.transaction)
            .await;
        match done {
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Ok(false)
            }
            done => Ok(done.map(|_| true)?),
        }
    }
}

async fn find_existing(database: &impl ConnectionTrait, wanted: &Taken) -> Result<Taken, Error> {
    use user::Column::{EmailCanonical, UsernameCanonical};
    let those = async |column: user::Column, values: &HashSet<String>| {
        let found = user::Entity::find()
            .select_only()
            .column(column)
            .filter(column.is_in(values))
            .into_tuple::<String>()
            .all(database)
            .await?;
        Ok::<HashSet<String>, Error>(found.into_iter().collect())
    };
    Ok(Taken {
        usernames: those(UsernameCanonical, &wanted.usernames).await?,
        emails: those(EmailCanonical, &wanted.emails).await?,
    })
}

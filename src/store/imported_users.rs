//! SQL statements for the import of users.

use std::collections::HashSet;

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, SqlErr};

use crate::error::Error;
use crate::model::user::User;
use crate::store::database::Store;
use crate::store::transaction::Transaction;
use crate::store::users::{NewUser, to_record, to_row};

/// The number of users that one statement looks up or inserts. SQLite limits a statement to 32,766 variables.
const BATCH: usize = 1000;

/// Usernames and e-mail addresses in canonical form.
#[derive(Debug, Default)]
pub(crate) struct ExistingFields {
    pub(crate) usernames: HashSet<String>,
    pub(crate) emails: HashSet<String>,
}

impl Store {
    /// Returns the usernames and e-mail addresses in `fields` that belong to existing users.
    pub(crate) async fn find_existing_fields(
        &self,
        fields: &ExistingFields,
    ) -> Result<ExistingFields, Error> {
        find_existing_fields(&self.readers, fields).await
    }
}

impl Transaction {
    /// Returns the usernames and e-mail addresses in `fields` that belong to existing users.
    pub(crate) async fn find_existing_fields(
        &self,
        fields: &ExistingFields,
    ) -> Result<ExistingFields, Error> {
        find_existing_fields(&self.connection, fields).await
    }

    /// Inserts users. Returns the users, or `None` if a username or an e-mail address is already in use. In this case,
    /// the transaction can only be rolled back.
    pub(crate) async fn insert_users(&self, new: &[NewUser]) -> Result<Option<Vec<User>>, Error> {
        let mut users = Vec::with_capacity(new.len());
        for batch in new.chunks(BATCH) {
            let insert = user::Entity::insert_many(batch.iter().cloned().map(to_row));
            match insert.exec_with_returning(&self.connection).await {
                Err(error)
                    if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) =>
                {
                    return Ok(None);
                }
                rows => {
                    for row in rows? {
                        users.push(to_record(row)?.user);
                    }
                }
            }
        }
        users.sort_by_key(|user| user.id);
        Ok(Some(users))
    }
}

async fn find_existing_fields(
    database: &impl ConnectionTrait,
    fields: &ExistingFields,
) -> Result<ExistingFields, Error> {
    use user::Column::{EmailCanonical, UsernameCanonical};
    let select = async |column: user::Column, values: &HashSet<String>| {
        let values: Vec<_> = values.iter().collect();
        let mut existing = HashSet::new();
        for batch in values.chunks(BATCH) {
            let found = user::Entity::find()
                .select_only()
                .column(column)
                .filter(column.is_in(batch.iter().copied()))
                .into_tuple::<String>()
                .all(database)
                .await?;
            existing.extend(found);
        }
        Ok::<HashSet<String>, Error>(existing)
    };
    Ok(ExistingFields {
        usernames: select(UsernameCanonical, &fields.usernames).await?,
        emails: select(EmailCanonical, &fields.emails).await?,
    })
}

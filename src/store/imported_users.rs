//! SQL statements for the import of users.

use std::collections::HashSet;

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, SqlErr};

use crate::error::Error;
use crate::model::user::User;
use crate::store::database::Store;
use crate::store::transaction::Transaction;
use crate::store::users::{NewUser, to_record, to_row};

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

    /// Inserts at least one user. Returns the users, or `None` if a username or an e-mail address is already in use.
    /// In this case, the transaction can only be rolled back.
    pub(crate) async fn insert_users(&self, new: Vec<NewUser>) -> Result<Option<Vec<User>>, Error> {
        let insert = user::Entity::insert_many(new.into_iter().map(to_row));
        let rows = match insert.exec_with_returning(&self.connection).await {
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                return Ok(None);
            }
            rows => rows?,
        };
        let users = rows.into_iter().map(|row| Ok(to_record(row)?.user));
        let mut users = users.collect::<Result<Vec<_>, Error>>()?;
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
        let existing = user::Entity::find()
            .select_only()
            .column(column)
            .filter(column.is_in(values))
            .into_tuple::<String>()
            .all(database)
            .await?;
        Ok::<HashSet<String>, Error>(existing.into_iter().collect())
    };
    Ok(ExistingFields {
        usernames: select(UsernameCanonical, &fields.usernames).await?,
        emails: select(EmailCanonical, &fields.emails).await?,
    })
}

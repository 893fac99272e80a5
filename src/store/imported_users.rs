//! SQL statements for the import of users.

use std::collections::HashSet;

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::error::Error;
use crate::store::database::Store;
use crate::store::transaction::Transaction;
use crate::store::users::{NewUser, to_row};

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

    /// Inserts users. Returns `false` if a username or an e-mail address is already in use. In this case, the
    /// transaction can only be rolled back.
    pub(crate) async fn insert_users(&self, new: Vec<NewUser>) -> Result<bool, Error> {
        if new.is_empty() {
            return Ok(true);
        }
        let rows = new.into_iter().map(to_row);
        self.execute_if_unique(user::Entity::insert_many(rows))
            .await
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

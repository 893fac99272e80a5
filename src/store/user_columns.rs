//! Reads users without their secrets: lists of users, and the columns of a user in other queries.

use entity::user::{self, Column};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryResult, QuerySelect,
    QueryTrait, RelationDef, Select,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::pagination::{Page, PageRequest};
use crate::model::password_hash::PasswordHash;
use crate::model::user::{Role, User, UserId, UserName};
use crate::store::database::Store;
use crate::store::pages::List;

/// The number of columns that [`select_user`] adds.
pub(super) const USER_COLUMNS: usize = 8;

impl Store {
    /// Returns the users of a page, in ascending order of their ids.
    pub(crate) async fn users(&self, page: PageRequest) -> Result<Page<User>, Error> {
        let list = list(select_user(user::Entity::find().select_only()));
        list.page(&self.readers, page, |row| Ok(to_user(row)?))
            .await
    }

    /// Returns the users with these ids, in any order.
    pub(crate) async fn users_with_ids(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let ids = ids.iter().copied();
        let users = select_user(user::Entity::find().select_only()).filter(Column::Id.is_in(ids));
        let rows = self.readers.query_all(&users.into_query()).await?;
        let users = rows.iter().map(|row| Ok(to_user(row)?));
        users.collect()
    }

    /// Returns the names of the users of a page, in ascending order of their ids.
    pub(crate) async fn user_names(&self, page: PageRequest) -> Result<Page<UserName>, Error> {
        let columns = [Column::Id, Column::Username];
        let list = list(user::Entity::find().select_only().columns(columns));
        let convert = |row: &QueryResult| {
            Ok(UserName {
                id: UserId(row.try_get_by_index(0)?),
                username: row.try_get_by_index(1)?,
            })
        };
        list.page(&self.readers, page, convert).await
    }
}

/// Returns the list of all users.
fn list(users: Select<user::Entity>) -> List<Column> {
    List {
        rows: users.into_query(),
        id: Column::Id,
        newest_first: false,
    }
}

/// Adds the columns of a [`User`] to a query.
pub(super) fn select_user<Q: QuerySelect>(query: Q) -> Q {
    let has_password = Column::PasswordHash.ne(PasswordHash::unusable().0);
    query
        .columns([
            Column::Id,
            Column::Username,
            Column::Email,
            Column::Role,
            Column::CreatedAt,
            Column::LastSignInAt,
            Column::DisabledAt,
        ])
        .expr(has_password)
}

/// Returns the relation from a table, whose `column` contains the id of a user, to the user.
pub(super) fn user_of<E: EntityTrait>(column: E::Column) -> RelationDef {
    E::belongs_to(user::Entity)
        .from(column)
        .to(Column::Id)
        .into()
}

/// Converts the first columns of a row, which [`select_user`] selects, to a user.
pub(super) fn to_user(row: &QueryResult) -> Result<User, DbErr> {
    let instant = |column| {
        let millis: Option<i64> = row.try_get_by_index(column)?;
        Ok::<_, DbErr>(millis.map(at))
    };
    Ok(User {
        id: UserId(row.try_get_by_index(0)?),
        username: row.try_get_by_index(1)?,
        email: row.try_get_by_index(2)?,
        role: from_column(row.try_get_by_index(3)?),
        created_at: at(row.try_get_by_index(4)?),
        last_sign_in_at: instant(5)?,
        disabled_at: instant(6)?,
        has_password: row.try_get_by_index(7)?,
    })
}

/// Converts the value of the column of the role.
pub(super) fn from_column(role: user::Role) -> Role {
    match role {
        user::Role::User => Role::User,
        user::Role::Admin => Role::Admin,
    }
}

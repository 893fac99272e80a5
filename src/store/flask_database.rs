//! The database of the original Flask application.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement};

use crate::error::Error;
use crate::model::imported_user::{ImportedPassword, ImportedUser};
use crate::store::sqlite::connect_read_only;

/// The maximum number of rows in a page.
const PAGE: u64 = 1000;

/// The SQLite database of the original Flask application, opened for reading.
#[derive(Clone, Debug)]
pub struct FlaskDatabase {
    connection: DatabaseConnection,
}

/// A row of the table `user`: the id, and either the user or the reason why the row cannot be imported.
pub type FlaskRow = (i64, Result<ImportedUser, String>);

impl FlaskDatabase {
    /// Opens a database file. The table `user` must have the columns `id`, `username` and `password_hash`. The column
    /// `email` is optional.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or if the table or a required column is missing.
    pub fn open(path: &Path) -> impl Future<Output = Result<Self, Error>> + Send {
        // The future is boxed so that it is compiled once with the library, and not again with each program.
        Self::connect(path.to_owned()).boxed()
    }

    async fn connect(file: PathBuf) -> Result<Self, Error> {
        let connection = connect_read_only(&file, false).await;
        let connection = connection.map_err(Error::internal)?;
        let flask = Self { connection };
        flask.read_page(i64::MIN, 1).await?;
        Ok(flask)
    }

    /// Returns the number of rows in the table `user`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub async fn count(&self) -> Result<u64, Error> {
        let rows = self
            .query("SELECT count(*) FROM \"user\"".to_owned())
            .await?;
        let count = rows.first().map(|row| row.try_get_by_index::<i64>(0));
        let count = count.transpose().map_err(Error::internal)?;
        Ok(count.and_then(|count| count.try_into().ok()).unwrap_or(0))
    }

    /// Returns up to 1,000 rows with ids greater than `after`, in ascending order of their ids. Returns an empty list
    /// if no rows remain.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub async fn page(&self, after: i64) -> Result<Vec<FlaskRow>, Error> {
        self.read_page(after, PAGE).await
    }

    /// Closes the file.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection cannot be closed.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(Error::internal)
    }

    async fn read_page(&self, after: i64, limit: u64) -> Result<Vec<FlaskRow>, Error> {
        let sql = format!("SELECT * FROM \"user\" WHERE id > {after} ORDER BY id LIMIT {limit}");
        self.query(sql).await?.iter().map(to_user).collect()
    }

    fn query(&self, sql: String) -> BoxFuture<'_, Result<Vec<QueryResult>, Error>> {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let rows = self.connection.query_all_raw(statement);
        rows.map_err(|error| {
            Error::BadUserInput(format!(
                "not a database of the original Flask application: {error}"
            ))
        })
        .boxed()
    }
}

fn to_user(row: &QueryResult) -> Result<FlaskRow, Error> {
    let columns = row.column_names();
    let mut required = ["username", "password_hash"].into_iter();
    if let Some(missing) = required.find(|name| !columns.iter().any(|column| column == name)) {
        let message = format!("the table user has no column {missing}");
        return Err(Error::BadUserInput(message));
    }
    let id = row.try_get("", "id").map_err(Error::internal)?;
    let text = |name| row.try_get::<Option<String>>("", name);
    let user = match (text("username"), text("password_hash"), text("email")) {
        (Ok(Some(username)), Ok(hash), email) => {
            let password = ImportedPassword::from_hash(hash.unwrap_or_default());
            let mut user = ImportedUser::new(username, password);
            user.email = email.ok().flatten().filter(|email| !email.is_empty());
            Ok(user)
        }
        (Ok(None), ..) => Err("There is no username.".to_owned()),
        _ => Err("The username or the password hash is not text.".to_owned()),
    };
    Ok((id, user))
}

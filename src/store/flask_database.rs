//! Read the database of the Flask original.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, QueryResult, Statement,
};

use crate::error::Error;
use crate::model::imported_user::{ImportedPassword, ImportedUser};

/// How many rows come at once.
const PAGE: u64 = 1000;

/// The SQLite database of the Flask original. It is only read.
#[derive(Clone, Debug)]
pub struct FlaskDatabase {
    connection: DatabaseConnection,
}

/// A row of its `user` table: the id, and the account, or why it is none.
pub type FlaskRow = (i64, Result<ImportedUser, String>);

impl FlaskDatabase {
    /// Opens the file, which has to have a table `user` with the columns `id`, `username` and
    /// `password_hash`; `email` is taken where there is one.
    pub fn open(path: &Path) -> impl Future<Output = Result<Self, Error>> + Send {
        // In a box, so that this code is compiled with the library and not again with each program.
        Self::connect(path.to_owned()).boxed()
    }

    async fn connect(file: PathBuf) -> Result<Self, Error> {
        let mut options = ConnectOptions::new("sqlite:");
        options
            .max_connections(1)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(move |options| options.filename(&file).read_only(true));
        let connection = Database::connect(options).await.map_err(Error::internal)?;
        let flask = Self { connection };
        flask.page_of(i64::MIN, 1).await?;
        Ok(flask)
    }

    /// How many rows there are.
    pub async fn count(&self) -> Result<u64, Error> {
        let rows = self
            .query("SELECT count(*) FROM \"user\"".to_owned())
            .await?;
        let count = rows.first().map(|row| row.try_get_by_index::<i64>(0));
        let count = count.transpose().map_err(Error::internal)?;
        Ok(count.and_then(|count| count.try_into().ok()).unwrap_or(0))
    }

    /// The rows that come after this id, 1,000 at most; none once all were read.
    pub async fn page(&self, after: i64) -> Result<Vec<FlaskRow>, Error> {
        self.page_of(after, PAGE).await
    }

    /// Closes the file.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(Error::internal)
    }

    async fn page_of(&self, after: i64, limit: u64) -> Result<Vec<FlaskRow>, Error> {
        let sql = format!("SELECT * FROM \"user\" WHERE id > {after} ORDER BY id LIMIT {limit}");
        self.query(sql).await?.iter().map(account).collect()
    }

    fn query(&self, sql: String) -> BoxFuture<'_, Result<Vec<QueryResult>, Error>> {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let rows = self.connection.query_all_raw(statement);
        rows.map_err(|error| {
            Error::internal(format!("not a database of the Flask original: {error}"))
        })
        .boxed()
    }
}

fn account(row: &QueryResult) -> Result<FlaskRow, Error> {
    let columns = row.column_names();
    if let Some(missing) = ["username", "password_hash"]
        .into_iter()
        .find(|name| !columns.iter().any(|column| column == name))
    {
        let why = format!("the table user has no column {missing}");
        return Err(Error::internal(why));
    }
    let id = row.try_get("", "id").map_err(Error::internal)?;
    let text = |name| row.try_get::<Option<String>>("", name);
    let parts = (text("username"), text("password_hash"), text("email"));
    let account = match parts {
        (Ok(Some(username)), Ok(Some(hash)), email) => Ok(ImportedUser {
            username,
            email: email.ok().flatten().filter(|email| !email.is_empty()),
            password: ImportedPassword::Hash(hash),
        }),
        (Ok(None), ..) => Err("There is no username.".to_owned()),
        (_, Ok(None), _) => Err("There is no password hash.".to_owned()),
        _ => Err("A column is not text.".to_owned()),
    };
    Ok((id, account))
}

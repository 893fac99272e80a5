//! The database of the original Flask application.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, Statement};

use crate::error::Error;
use crate::store::sqlite::connect_read_only;

/// The maximum number of rows in a page.
const PAGE: u64 = 1000;

/// The columns that the table `user` must have.
const REQUIRED: [&str; 2] = ["username", "password_hash"];

/// The SQLite database of the original Flask application, opened for reading.
///
/// ```
/// use symbolon::{FlaskDatabase, ImportedPassword, ImportedUser};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use symbolon::sea_orm::{ConnectionTrait, Database};
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("app.db");
/// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
/// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
/// # old.execute_unprepared(create).await?;
/// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
/// # old.close().await?;
/// let flask = FlaskDatabase::open(&file).await?;
/// let column = |name| flask.columns().iter().position(|column| column == name);
/// let (username, hash) = (column("username").unwrap(), column("password_hash").unwrap());
/// let rows = flask.page(None).await?;
/// let users = rows.into_iter().map(|(_, row)| {
///     ImportedUser::new(row[username].clone(), ImportedPassword::from_hash(row[hash].clone()))
/// });
/// assert_eq!(users.count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FlaskDatabase {
    connection: DatabaseConnection,
    columns: Vec<String>,
}

/// A row of the table `user`: the `rowid`, and the value of each column as text. The text of NULL is empty.
///
/// ```
/// use symbolon::{FlaskDatabase, FlaskRow};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use symbolon::sea_orm::{ConnectionTrait, Database};
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("app.db");
/// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
/// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
/// # old.execute_unprepared(create).await?;
/// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
/// # old.close().await?;
/// let flask = FlaskDatabase::open(&file).await?;
/// let rows: Vec<FlaskRow> = flask.page(None).await?;
/// // The values of `id`, `username` and `password_hash`, which is NULL.
/// assert_eq!(rows, [(1, vec!["1".to_owned(), "susan".to_owned(), String::new()])]);
/// # Ok(())
/// # }
/// ```
pub type FlaskRow = (i64, Vec<String>);

impl FlaskDatabase {
    /// Opens a database file. The table `user` must have the columns `username` and `password_hash`.
    ///
    /// ```
    /// use symbolon::{Error, FlaskDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use symbolon::sea_orm::{ConnectionTrait, Database};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("app.db");
    /// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
    /// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
    /// # old.execute_unprepared(create).await?;
    /// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
    /// # old.close().await?;
    /// let flask = FlaskDatabase::open(&file).await?;
    /// # let other = folder.path().join("other.db");
    /// # Database::connect(format!("sqlite://{}?mode=rwc", other.display())).await?.close().await?;
    /// let refused = FlaskDatabase::open(&other).await;
    /// assert!(matches!(refused, Err(Error::BadUserInput(_))));
    /// # std::fs::write(&other, "username,password_hash\n")?;
    /// # let refused = FlaskDatabase::open(&other).await;
    /// # assert!(matches!(refused, Err(Error::BadUserInput(_))), "{refused:?}");
    /// # let refused = FlaskDatabase::open(&folder.path().join("missing.db")).await;
    /// # assert!(matches!(refused, Err(Error::Internal(_))), "{refused:?}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Internal`] if the file cannot be opened. Returns [`Error::BadUserInput`] if the file is not an SQLite
    /// database, or if the table or a required column is missing.
    pub fn open(path: &Path) -> impl Future<Output = Result<Self, Error>> + Send {
        // The future is boxed so that it is compiled once with the library, and not again with each program.
        Self::connect(path.to_owned()).boxed()
    }

    async fn connect(file: PathBuf) -> Result<Self, Error> {
        let connection = connect_read_only(&file, false).await;
        let connection = connection.map_err(Error::internal)?;
        let columns = Vec::new();
        let mut flask = Self {
            connection,
            columns,
        };
        let names = "SELECT name FROM pragma_table_info('user') ORDER BY cid";
        let names = flask.query(names.to_owned()).await?;
        let names = names.iter().map(|row| row.try_get_by_index::<String>(0));
        flask.columns = names.collect::<Result<_, _>>().map_err(Error::internal)?;
        let is_missing = |name: &&str| !flask.columns.iter().any(|column| column == name);
        match REQUIRED.iter().copied().find(is_missing) {
            _ if flask.columns.is_empty() => {
                let message = "not a database of the original Flask application: the table user does not exist";
                Err(Error::BadUserInput(message.to_owned()))
            }
            Some(missing) => Err(Error::BadUserInput(format!(
                "the table user has no column {missing}"
            ))),
            None => Ok(flask),
        }
    }

    /// Returns the names of the columns of the table `user`.
    ///
    /// ```
    /// use symbolon::FlaskDatabase;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use symbolon::sea_orm::{ConnectionTrait, Database};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("app.db");
    /// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
    /// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
    /// # old.execute_unprepared(create).await?;
    /// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
    /// # old.close().await?;
    /// let flask = FlaskDatabase::open(&file).await?;
    /// assert_eq!(flask.columns(), ["id", "username", "password_hash"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns the number of rows in the table `user`.
    ///
    /// ```
    /// use symbolon::FlaskDatabase;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use symbolon::sea_orm::{ConnectionTrait, Database};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("app.db");
    /// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
    /// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
    /// # old.execute_unprepared(create).await?;
    /// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
    /// # old.close().await?;
    /// let flask = FlaskDatabase::open(&file).await?;
    /// assert_eq!(flask.count().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
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

    /// Returns up to 1,000 rows whose `rowid` is greater than `after`, in ascending order of `rowid`. Returns an empty
    /// list if no rows remain.
    ///
    /// ```
    /// use symbolon::FlaskDatabase;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use symbolon::sea_orm::{ConnectionTrait, Database};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("app.db");
    /// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
    /// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
    /// # old.execute_unprepared(create).await?;
    /// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
    /// # old.close().await?;
    /// let flask = FlaskDatabase::open(&file).await?;
    /// let (mut last, mut count) = (None, 0);
    /// loop {
    ///     let page = flask.page(last).await?;
    ///     let Some((rowid, _)) = page.last() else { break };
    ///     last = Some(*rowid);
    ///     count += page.len();
    /// }
    /// assert_eq!(count, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub async fn page(&self, after: Option<i64>) -> Result<Vec<FlaskRow>, Error> {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let values = self.columns.iter().map(quoted);
        let values = values.map(|name| format!(", CAST({name} AS TEXT)"));
        let values: String = values.collect();
        let condition = after.map_or_else(String::new, |after| format!(" WHERE rowid > {after}"));
        let sql =
            format!("SELECT rowid{values} FROM \"user\"{condition} ORDER BY rowid LIMIT {PAGE}");
        let rows = self.query(sql).await?;
        let values = |row: &QueryResult| {
            let values = (1..=self.columns.len()).map(|index| row.try_get_by_index(index));
            let values =
                values.map(|value: Result<Option<String>, _>| value.map(Option::unwrap_or_default));
            Ok((
                row.try_get_by_index(0)?,
                values.collect::<Result<_, DbErr>>()?,
            ))
        };
        let rows: Result<_, DbErr> = rows.iter().map(values).collect();
        rows.map_err(Error::internal)
    }

    /// Closes the file.
    ///
    /// ```
    /// use symbolon::FlaskDatabase;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use symbolon::sea_orm::{ConnectionTrait, Database};
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("app.db");
    /// # let old = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await?;
    /// # let create = "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)";
    /// # old.execute_unprepared(create).await?;
    /// # old.execute_unprepared("INSERT INTO user VALUES (1, 'susan', NULL)").await?;
    /// # old.close().await?;
    /// let flask = FlaskDatabase::open(&file).await?;
    /// let count = flask.count().await?;
    /// flask.close().await?;
    /// println!("{count} users can be imported.");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the connection cannot be closed.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(Error::internal)
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

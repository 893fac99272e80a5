//! Tables of the application in Symbolon's database.

use crate::app::{Symbolon, SymbolonBuilder};
use crate::store::{ApplicationMigrations, DatabaseConnection, MigratorTrait};

impl Symbolon {
    /// Returns connections to Symbolon's database, for the tables of the application. All clones share one pool, which
    /// opens a connection when it is needed.
    ///
    /// The connections have the settings of Symbolon's own connections. With SQLite, these are the write-ahead log,
    /// foreign keys, and a wait of up to 5 s for other writers. With PostgreSQL, these are the schema, the time limits of
    /// [`PostgresConfig`](crate::PostgresConfig), and at most [`PostgresConfig::readers`](crate::PostgresConfig::readers)
    /// connections. Symbolon has separate connections, so that it does not wait for the application.
    ///
    /// The connections can read Symbolon's tables. They must not write to them: cached identities would not be
    /// invalidated. [`Symbolon::close`] and [`Symbolon::serve`] close the connections. To close one clone closes all.
    ///
    /// Begin transactions with the methods of [`TransactionTrait`](sea_orm::TransactionTrait). With PostgreSQL, a statement
    /// `BEGIN` would leave the transaction open in the pool. With PostgreSQL, only the schema of Symbolon's tables is in the
    /// `search_path`: qualify the names of tables in other schemas.
    ///
    /// ```no_run
    /// use symbolon::sea_orm::{ConnectionTrait, DbErr};
    /// use symbolon::{Config, Symbolon};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let symbolon = Symbolon::open(Config::new("sqlite://app.db")).await?;
    /// let database = symbolon.connection();
    /// database.execute_unprepared("DELETE FROM note").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Transactions with SQLite
    ///
    /// SQLite has one writer at a time. A transaction that reads before it writes cannot wait for another writer: if
    /// another connection has written since the read, the write fails immediately with `database is locked`. Begin such a
    /// transaction in the mode `Immediate`, which waits at the beginning. The mode has no effect with PostgreSQL.
    ///
    /// ```
    /// use symbolon::sea_orm::{
    ///     ConnectionTrait, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    /// };
    ///
    /// async fn rename_notes(database: &DatabaseConnection) -> Result<(), DbErr> {
    ///     let transaction = database
    ///         .begin_with_options(TransactionOptions {
    ///             sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
    ///             ..Default::default()
    ///         })
    ///         .await?;
    ///     // Read and write.
    ///     # transaction.execute_unprepared("UPDATE note SET text = upper(text)").await?;
    ///     transaction.commit().await
    /// }
    /// ```
    ///
    /// Symbolon waits for the application's transactions in turn. If a transaction of the application takes longer than
    /// 5 s, changes of Symbolon fail with `SERVICE_UNAVAILABLE`, and `/readyz` reports it. A transaction must not call Symbolon's methods that change
    /// the database, because they would wait for the transaction.
    #[must_use]
    pub fn connection(&self) -> DatabaseConnection {
        self.state.services.store.application_connection()
    }
}

impl SymbolonBuilder {
    /// Sets the migrations of the application, which create and change its tables. [`SymbolonBuilder::open`] applies them
    /// after Symbolon's migrations. A second call replaces the migrations.
    ///
    /// - Each pending migration is applied in a transaction of its own. If one fails, [`SymbolonBuilder::open`] returns
    ///   [`StartError::Migration`](crate::StartError::Migration), and the next start continues with this migration. The
    ///   tables of Symbolon remain usable. A statement that cannot run in a transaction, such as `CREATE INDEX
    ///   CONCURRENTLY`, cannot be part of a migration, and SQLite ignores `PRAGMA foreign_keys` in a transaction: to
    ///   replace a table, keep the rows that refer to it.
    /// - Other instances continue to use the database. A statement that locks `symbolon_user`, such as the creation of a
    ///   foreign key with PostgreSQL, delays their sign-ins until the migration ends. Fill large tables in another
    ///   migration.
    /// - If several instances start at the same time, one of them applies the migrations, and the others wait, with
    ///   SQLite for at most a minute.
    /// - The table of
    ///   [`MigratorTrait::migration_table_name`](sea_orm_migration::MigratorTrait::migration_table_name) records the
    ///   applied migrations. Its default name is `seaql_migrations`. Symbolon's own migrations have another table.
    /// - If the database has a migration that the application does not contain, for example of a newer version, the
    ///   application does not start.
    /// - [`SymbolonBuilder::open_operator`] and the program `symbolon` do not apply these migrations.
    ///
    /// A foreign key can refer to the column `id` of the table `symbolon_user`, a 64-bit integer. It should have
    /// `ON DELETE CASCADE`, or the hook [`Hooks::before_delete`](crate::Hooks::before_delete) should delete the rows.
    /// Otherwise, users with such rows cannot be deleted. With PostgreSQL, while an uncommitted row refers to a user, changes
    /// of this user wait, including sign-ins, and each of them occupies one of
    /// [`PostgresConfig::writers`](crate::PostgresConfig::writers) connections: keep such transactions short.
    ///
    /// ```no_run
    /// use symbolon::sea_orm_migration::prelude::*;
    /// use symbolon::{Config, Symbolon, async_trait, sea_orm_migration};
    ///
    /// #[derive(DeriveMigrationName)]
    /// struct CreateNote;
    ///
    /// #[async_trait]
    /// impl MigrationTrait for CreateNote {
    ///     async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
    ///         let id = ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take();
    ///         let author = ForeignKey::create()
    ///             .from("note", "author")
    ///             .to("symbolon_user", "id")
    ///             .on_delete(ForeignKeyAction::Cascade)
    ///             .take();
    ///         let note = Table::create()
    ///             .table("note")
    ///             .col(id)
    ///             .col(ColumnDef::new("author").big_integer().not_null())
    ///             .col(ColumnDef::new("text").text().not_null())
    ///             .foreign_key(&mut author.clone())
    ///             .take();
    ///         manager.create_table(note).await
    ///     }
    /// }
    ///
    /// struct Migrations;
    ///
    /// #[async_trait]
    /// impl MigratorTrait for Migrations {
    ///     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    ///         vec![Box::new(CreateNote)]
    ///     }
    /// }
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Symbolon::builder(Config::new("sqlite://app.db")).migrations::<Migrations>();
    /// let symbolon = builder.open().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn migrations<M: MigratorTrait + 'static>(self) -> Self {
        let migrations = Some(ApplicationMigrations::of::<M>());
        Self { migrations, ..self }
    }
}

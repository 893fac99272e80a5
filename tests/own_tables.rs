//! Tables of an embedding application in Symbolon's database: foreign keys, `Symbolon::connection`, and migrations.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};
use serde_json::json;
use symbolon::sea_orm_migration::prelude::*;
use symbolon::{
    Config, FieldErrorCode, HookError, HookTransaction, Hooks, MutationError, Registration, Role,
    StartError, Symbolon, SymbolonBuilder, User, UserId, async_trait,
};

use crate::support::{
    PASSWORD, TestApp, common_key, database_in, database_url, eventually, finish, on_postgres,
    succeed, symbolon,
};

/// Creates the table `note`. Its foreign key has the action of the type parameter.
struct CreateNote(&'static str);

impl MigrationName for CreateNote {
    fn name(&self) -> &'static str {
        "m1_create_note"
    }
}

#[async_trait]
impl MigrationTrait for CreateNote {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let create = note_table(self.0);
        let database = manager.get_connection();
        database.execute_unprepared(&create).await.map(drop)
    }
}

fn note_table(action: &str) -> String {
    format!(
        "CREATE TABLE note (id BIGINT PRIMARY KEY,
            author BIGINT NOT NULL REFERENCES symbolon_user (id) {action}, text TEXT NOT NULL)"
    )
}

struct AddTitle;

impl MigrationName for AddTitle {
    fn name(&self) -> &'static str {
        "m2_add_title"
    }
}

#[async_trait]
impl MigrationTrait for AddTitle {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        database
            .execute_unprepared("ALTER TABLE note ADD COLUMN title TEXT")
            .await?;
        // An instance that does not wait for the lock would apply the migration twice.
        if database.get_database_backend() == sea_orm::DbBackend::Postgres {
            database.execute_unprepared("SELECT pg_sleep(0.3)").await?;
        }
        Ok(())
    }
}

struct Broken;

impl MigrationName for Broken {
    fn name(&self) -> &'static str {
        "m3_broken"
    }
}

#[async_trait]
impl MigrationTrait for Broken {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        let create = "CREATE TABLE half_done (id INTEGER)";
        database.execute_unprepared(create).await?;
        let fail = "INSERT INTO no_such_table (id) VALUES (1)";
        database.execute_unprepared(fail).await.map(drop)
    }
}

struct Notes;

#[async_trait]
impl MigratorTrait for Notes {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateNote("")), Box::new(AddTitle)]
    }
}

struct NotesThenBroken;

#[async_trait]
impl MigratorTrait for NotesThenBroken {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(CreateNote("")),
            Box::new(AddTitle),
            Box::new(Broken),
        ]
    }
}

struct OlderNotes;

#[async_trait]
impl MigratorTrait for OlderNotes {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateNote(""))]
    }
}

struct SameNames;

#[async_trait]
impl MigratorTrait for SameNames {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(AddTitle),
            Box::new(CreateNote("")),
            Box::new(AddTitle),
        ]
    }
}

struct InTheTableOfSymbolon;

#[async_trait]
impl MigratorTrait for InTheTableOfSymbolon {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateNote(""))]
    }

    fn migration_table_name() -> sea_orm::DynIden {
        "symbolon_migration".into_iden()
    }
}

fn config(folder: &Path) -> Config {
    let mut config = Config::new(database_url(folder, "symbolon.db"));
    if on_postgres() {
        config.secret_key_file = Some(common_key().to_owned());
        config.postgres.acquire_timeout = 20_000;
    }
    config.argon2_memory = 8;
    config.argon2_iterations = 1;
    config
}

fn builder(folder: &Path) -> SymbolonBuilder {
    Symbolon::builder(config(folder))
}

async fn add_user(symbolon: &Symbolon, username: &str) -> UserId {
    let new = Registration {
        username: username.to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    };
    let added = symbolon.operator().add_user(&new, Role::User).await;
    added.unwrap().id
}

async fn execute(database: &impl ConnectionTrait, sql: &str) {
    database.execute_unprepared(sql).await.unwrap();
}

async fn count(database: &DatabaseConnection, sql: &str) -> i64 {
    let select = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(select).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

fn insert_note(author: UserId) -> String {
    format!("INSERT INTO note (id, author, text) VALUES (1, {author}, 'x')")
}

/// Deletes the notes of a user before or after the user is deleted, if enabled.
#[derive(Clone, Default)]
struct NoteHooks {
    before: Arc<AtomicBool>,
    after: Arc<AtomicBool>,
}

async fn delete_notes(transaction: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
    let delete = Statement::from_sql_and_values(
        transaction.get_database_backend(),
        "DELETE FROM note WHERE author = $1",
        [i64::from(user.id).into()],
    );
    transaction.execute_raw(delete).await?;
    Ok(())
}

#[async_trait]
impl Hooks for NoteHooks {
    async fn before_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        if self.before.load(Ordering::SeqCst) {
            delete_notes(transaction, user).await?;
        }
        Ok(())
    }

    async fn after_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        if self.after.load(Ordering::SeqCst) {
            delete_notes(transaction, user).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_foreign_key_refuses_the_deletion_of_a_user_with_in_use() {
    for (action, is_deferred) in [
        ("", false),
        ("ON DELETE RESTRICT", false),
        ("DEFERRABLE INITIALLY DEFERRED", true),
    ] {
        let hooks = NoteHooks::default();
        let app = TestApp::with_hooks(hooks.clone()).await;
        let id = app.register("ada").await;
        let author: UserId = id.to_string().parse().unwrap();
        let token = app.sign_in("ada").await;
        let database = app.symbolon().connection();
        execute(&database, &note_table(action)).await;
        execute(&database, &insert_note(author)).await;

        let delete = format!(
            r#"deleteUser(input: {{ password: "{PASSWORD}" }})
                {{ deletedUserId userErrors {{ code field message }} }}"#
        );
        let refused = app.mutate(&token, &delete).await;
        assert_eq!(
            refused.at("/data/deleteUser"),
            &json!({ "deletedUserId": null, "userErrors": [{
                "code": "IN_USE",
                "field": "id",
                "message": "The user cannot be deleted, because other data refers to the user.",
            }] }),
            "{action}"
        );
        let refused = app.operator().delete(author).await.unwrap_err();
        let MutationError::Fields(errors) = &refused else {
            panic!("{action}: {refused:?}");
        };
        assert_eq!(
            (errors[0].code, errors[0].field),
            (FieldErrorCode::InUse, "id")
        );
        // Nothing has changed.
        assert!(app.accepts(&token).await, "{action}");
        assert_eq!(count(&database, "SELECT count(*) FROM note").await, 1);

        // A deferred foreign key also permits the deletion of the rows afterwards.
        let enabled = if is_deferred {
            &hooks.after
        } else {
            &hooks.before
        };
        enabled.store(true, Ordering::SeqCst);
        let deleted = app.mutate(&token, &delete).await;
        assert_eq!(
            deleted.at("/data/deleteUser"),
            &json!({ "deletedUserId": id.to_string(), "userErrors": [] }),
            "{action}"
        );
        assert_eq!(count(&database, "SELECT count(*) FROM note").await, 0);
        assert!(!app.accepts(&token).await);
        app.stop().await;
    }
}

#[tokio::test]
async fn rows_with_cascade_are_deleted_and_the_command_names_a_refusal() {
    for (action, code) in [("ON DELETE CASCADE", 0), ("", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let instance = builder(folder.path()).open().await.unwrap();
        let author = add_user(&instance, "ada").await;
        let database = instance.connection();
        execute(&database, &note_table(action)).await;
        execute(&database, &insert_note(author)).await;
        let mut delete = symbolon(folder.path());
        let (status, _, error) = finish(delete.args(["user", "delete", "ada", "--yes"]));
        assert_eq!(status, Some(code), "{error}");
        let refusal = "because other data refers to the user";
        assert_eq!(error.contains(refusal), code == 1, "{error}");
        let notes = count(&database, "SELECT count(*) FROM note").await;
        assert_eq!(notes, i64::from(code));
        instance.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_connection_has_the_settings_of_symbolon_and_closes_with_it() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let database = app.symbolon().connection();
    if on_postgres() {
        let select = "SELECT count(*) FROM pg_settings WHERE (name, setting) IN
            (('statement_timeout', '10000'), ('synchronous_commit', 'on'))";
        assert_eq!(count(&database, select).await, 2);
    } else {
        for (pragma, value) in [("foreign_keys", 1), ("synchronous", 2), ("query_only", 0)] {
            let select = format!("SELECT {pragma} FROM pragma_{pragma}");
            assert_eq!(count(&database, &select).await, value, "{pragma}");
        }
        let wal = "SELECT journal_mode = 'wal' FROM pragma_journal_mode";
        assert_eq!(count(&database, wal).await, 1);
    }
    assert_eq!(
        count(&database, "SELECT count(*) FROM symbolon_user").await,
        1
    );
    // The application uses all its connections. Symbolon does not wait for them.
    let mut held = Vec::new();
    for _ in 0..8 {
        let transaction = database.begin().await.unwrap();
        transaction
            .execute_unprepared("SELECT id FROM symbolon_user")
            .await
            .unwrap();
        held.push(transaction);
    }
    let token = app.sign_in("ada").await;
    assert!(app.accepts(&token).await);
    drop(held);
    app.stop().await;
    database.execute_unprepared("SELECT 1").await.unwrap_err();
}

/// Registers users and inserts notes at the same time, in statements and in transactions that read first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writes_of_symbolon_and_of_the_application_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let instance = builder(folder.path()).open().await.unwrap();
    let database = instance.connection();
    execute(
        &database,
        "CREATE TABLE counter (id INTEGER PRIMARY KEY, value BIGINT NOT NULL)",
    )
    .await;
    execute(&database, "INSERT INTO counter (id, value) VALUES (1, 0)").await;
    let (rounds, slowest) = (25_u32, Mutex::new(Duration::ZERO));
    let measured = async |started: Instant| {
        let mut slowest = slowest.lock().unwrap();
        *slowest = started.elapsed().max(*slowest);
    };
    let registrations = (0..8).map(|task| {
        let instance = instance.clone();
        async move {
            for round in 0..rounds {
                add_user(&instance, &format!("u{task}-{round}")).await;
            }
        }
    });
    let statements = (0..8).map(|_| async {
        for _ in 0..rounds {
            let started = Instant::now();
            execute(&database, "UPDATE counter SET value = value + 1").await;
            measured(started).await;
        }
    });
    let transactions = (0..8).map(|_| async {
        for _ in 0..rounds {
            let started = Instant::now();
            let transaction = database
                .begin_with_options(TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..Default::default()
                })
                .await
                .unwrap();
            let select = "SELECT value FROM counter FOR UPDATE";
            let select = if on_postgres() {
                select
            } else {
                select.trim_end_matches(" FOR UPDATE")
            };
            let select = Statement::from_string(transaction.get_database_backend(), select);
            let row = transaction.query_one_raw(select).await.unwrap().unwrap();
            let value: i64 = row.try_get_by_index(0).unwrap();
            let update = format!("UPDATE counter SET value = {}", value + 1);
            execute(&transaction, &update).await;
            transaction.commit().await.unwrap();
            measured(started).await;
        }
    });
    let started = Instant::now();
    tokio::join!(
        join_all(registrations.map(tokio::spawn)),
        join_all(statements),
        join_all(transactions)
    );
    println!(
        "{} writes in {:?}, the slowest write of the application took {:?}",
        24 * rounds,
        started.elapsed(),
        slowest.lock().unwrap()
    );
    let users = count(&database, "SELECT count(*) FROM symbolon_user").await;
    assert_eq!(users, i64::from(8 * rounds));
    let value = count(&database, "SELECT value FROM counter").await;
    assert_eq!(value, i64::from(16 * rounds));
    instance.close().await.unwrap();
}

#[tokio::test]
async fn migrations_are_applied_once_and_recorded_apart_from_those_of_symbolon() {
    let folder = tempfile::tempdir().unwrap();
    let instance = builder(folder.path())
        .migrations::<OlderNotes>()
        .open()
        .await
        .unwrap();
    let author = add_user(&instance, "ada").await;
    execute(&instance.connection(), &insert_note(author)).await;
    instance.close().await.unwrap();
    // The second start applies the new migration, the third none.
    for _ in 0..2 {
        let instance = builder(folder.path()).migrations::<Notes>().open().await;
        let instance = instance.unwrap();
        let database = instance.connection();
        let titles = "SELECT count(*) FROM note WHERE title IS NULL";
        assert_eq!(count(&database, titles).await, 1);
        assert_eq!(
            count(&database, "SELECT count(*) FROM seaql_migrations").await,
            2
        );
        instance.close().await.unwrap();
    }
    // The operator and an application without migrations do not need them.
    let operator = builder(folder.path()).open_operator().await.unwrap();
    assert!(operator.user("ada").await.unwrap().is_some());
    operator.close().await.unwrap();
    let instance = Symbolon::open(config(folder.path())).await.unwrap();
    instance.close().await.unwrap();
    // An older application does not know the last migration.
    let older = builder(folder.path()).migrations::<OlderNotes>();
    let error = older.open().await.unwrap_err();
    assert!(matches!(error, StartError::Migration(_)), "{error:?}");
    assert!(error.to_string().contains("m2_add_title"), "{error}");
}

#[tokio::test]
async fn a_migration_that_fails_stops_the_start_and_leaves_symbolon_usable() {
    for is_new in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        if !is_new {
            let instance = Symbolon::open(config(folder.path())).await.unwrap();
            add_user(&instance, "ada").await;
            instance.close().await.unwrap();
        }
        let error = builder(folder.path())
            .migrations::<NotesThenBroken>()
            .open()
            .await
            .unwrap_err();
        assert!(matches!(error, StartError::Migration(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("the migrations of the application cannot be applied")
                && text.contains("the migration m3_broken failed")
                && text.contains("no_such_table"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        let instance = Symbolon::open(config(folder.path())).await.unwrap();
        add_user(&instance, "bob").await;
        let database = instance.connection();
        // The migrations before it are applied, and nothing of it.
        assert_eq!(count(&database, "SELECT count(*) FROM note").await, 0);
        let applied = "SELECT count(*) FROM seaql_migrations";
        assert_eq!(count(&database, applied).await, 2);
        let select = "SELECT 1 FROM half_done";
        database.execute_unprepared(select).await.unwrap_err();
        instance.close().await.unwrap();
        // After a correction, the instance starts.
        let instance = builder(folder.path()).migrations::<Notes>().open().await;
        instance.unwrap().close().await.unwrap();
    }
}

#[tokio::test]
async fn migrations_with_the_same_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let opened = builder(folder.path()).migrations::<SameNames>().open();
    let text = opened.await.unwrap_err().to_string();
    assert!(
        text.contains("two migrations have the name m2_add_title"),
        "{text}"
    );
}

#[tokio::test]
async fn a_transaction_that_a_statement_leaves_open_affects_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let instance = builder(folder.path()).open().await.unwrap();
    let database = instance.connection();
    execute(&database, "CREATE TABLE item (id INTEGER)").await;
    if database.get_database_backend() == sea_orm::DbBackend::Sqlite {
        let failing =
            "BEGIN IMMEDIATE; INSERT INTO item VALUES (1); INSERT INTO missing VALUES (1); COMMIT";
        database.execute_unprepared(failing).await.unwrap_err();
        add_user(&instance, "ada").await;
        for _ in 0..20 {
            execute(&database, "INSERT INTO item VALUES (2)").await;
        }
        assert_eq!(count(&database, "SELECT count(*) FROM item").await, 20);
    }
    instance.close().await.unwrap();
}

#[tokio::test]
async fn a_write_to_a_deleted_database_file_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let instance = builder(folder.path()).open().await.unwrap();
    let database = instance.connection();
    execute(&database, "CREATE TABLE item (id INTEGER)").await;
    let Some(file) = Symbolon::database_file(&config(folder.path())) else {
        // PostgreSQL has no such file.
        return;
    };
    std::fs::remove_file(file).unwrap();
    for _ in 0..3 {
        let write = database
            .execute_unprepared("INSERT INTO item VALUES (1)")
            .await;
        write.unwrap_err();
    }
}

#[tokio::test]
async fn migrations_in_the_table_of_symbolon_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = builder(folder.path())
        .migrations::<InTheTableOfSymbolon>()
        .open()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("symbolon_migration") && text.contains("migration_table_name"),
        "{text}"
    );
}

#[tokio::test]
async fn tables_of_the_application_can_be_older_than_those_of_symbolon() {
    let folder = tempfile::tempdir().unwrap();
    if !on_postgres() {
        std::fs::write(folder.path().join("symbolon.db"), "").unwrap();
    }
    let database = database_in(folder.path()).await;
    execute(&database, "CREATE TABLE customer (id INTEGER PRIMARY KEY)").await;
    execute(&database, "INSERT INTO customer (id) VALUES (7)").await;
    database.close().await.unwrap();
    let instance = builder(folder.path()).migrations::<Notes>().open().await;
    let instance = instance.unwrap();
    add_user(&instance, "ada").await;
    let database = instance.connection();
    let customers = "SELECT count(*) FROM customer WHERE id = 7";
    assert_eq!(count(&database, customers).await, 1);
    instance.close().await.unwrap();
}

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn backups_and_restorations_contain_the_tables_of_the_application() {
        let folder = tempfile::tempdir().unwrap();
        let start = async || builder(folder.path()).migrations::<Notes>().open().await;
        let instance = start().await.unwrap();
        let author = add_user(&instance, "ada").await;
        execute(&instance.connection(), &insert_note(author)).await;
        succeed(symbolon(folder.path()).args(["backup", "backup.db"]));
        execute(&instance.connection(), "DELETE FROM note").await;
        instance.close().await.unwrap();
        let checked = succeed(symbolon(folder.path()).arg("check"));
        assert!(!checked.contains("note"), "{checked}");
        succeed(symbolon(folder.path()).args(["restore", "backup.db", "--yes"]));
        let instance = start().await.unwrap();
        let database = instance.connection();
        assert_eq!(count(&database, "SELECT count(*) FROM note").await, 1);
        assert_eq!(
            count(&database, "SELECT count(*) FROM seaql_migrations").await,
            2
        );
        // The foreign key is still enforced.
        instance.operator().delete(author).await.unwrap_err();
        instance.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_names_the_tables_that_it_does_not_copy() {
        let folder = tempfile::tempdir().unwrap();
        let instance = builder(folder.path()).migrations::<Notes>().open().await;
        let instance = instance.unwrap();
        let author = add_user(&instance, "ada").await;
        execute(&instance.connection(), &insert_note(author)).await;
        instance.close().await.unwrap();
        for arguments in [&["copy", "--dry-run"][..], &["copy"]] {
            let mut copy = symbolon(folder.path());
            copy.args(arguments)
                .env("SYMBOLON_COPY_TO", "sqlite://copy.db");
            let (code, output, error) = finish(&mut copy);
            assert_eq!(code, Some(0), "{error}");
            let all = output + &error;
            assert!(all.contains("not copied: note, seaql_migrations"), "{all}");
        }
        // A copy into a database whose tables of the application refer to the users.
        let target = tempfile::tempdir().unwrap();
        let instance = builder(target.path()).migrations::<Notes>().open().await;
        instance.unwrap().close().await.unwrap();
        let url = database_url(target.path(), "symbolon.db");
        succeed(
            symbolon(folder.path())
                .arg("copy")
                .env("SYMBOLON_COPY_TO", url),
        );
        let instance = builder(target.path()).migrations::<Notes>().open().await;
        let instance = instance.unwrap();
        execute(&instance.connection(), &insert_note(author)).await;
        instance.close().await.unwrap();
    }
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_several_instances_that_start_one_applies_the_migrations() {
        let folder = tempfile::tempdir().unwrap();
        let start = || tokio::spawn(builder(folder.path()).migrations::<Notes>().open());
        let started: Vec<_> = (0..3).map(|_| start()).collect();
        for instance in join_all(started).await {
            let instance = instance.unwrap().unwrap();
            let database = instance.connection();
            let applied = count(&database, "SELECT count(*) FROM seaql_migrations").await;
            assert_eq!(applied, 2);
            instance.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_deletion_waits_for_rows_that_are_not_committed() {
        let hooks = NoteHooks::default();
        hooks.before.store(true, Ordering::SeqCst);
        let app = TestApp::with_hooks(hooks).await;
        let author: UserId = app.register("ada").await.to_string().parse().unwrap();
        let database = app.symbolon().connection();
        execute(&database, &note_table("")).await;
        let transaction = database.begin().await.unwrap();
        execute(&transaction, &insert_note(author)).await;
        let operator = app.operator();
        let (deleted, ()) = tokio::join!(operator.delete(author), async {
            eventually("the deletion waits", async || {
                let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
                    (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
                (count(&database, waiting).await > 0).then_some(())
            })
            .await;
            transaction.commit().await.unwrap();
        });
        // The hook has deleted the row that was not committed before.
        deleted.unwrap();
        assert_eq!(count(&database, "SELECT count(*) FROM note").await, 0);
    }
}

//! Reverting and applying migrations.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::support::{Answer, DATABASE_PASSWORD, Server, database_in, finish, symbolon};

/// Returns the tables, columns and indexes.
pub async fn schema(database: &DatabaseConnection) -> Vec<String> {
    let sql = match database.get_database_backend() {
        DbBackend::Sqlite => "SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name",
        _ => {
            "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
                 FROM information_schema.columns WHERE table_schema = 'public'
             UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        }
    };
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

#[tokio::test]
async fn each_migration_can_be_reverted_and_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    // Creates the SQLite file.
    symbolon(folder.path()).arg("migrate").output().unwrap();
    let database = database_in(folder.path()).await;
    let made = schema(&database).await;
    assert!(made.iter().any(|line| line.contains("symbolon_user")));
    let count = Migrator::migrations().len();
    for steps in 1..=count {
        let steps = Some(u32::try_from(steps).unwrap());
        Migrator::down(&database, steps).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        assert_eq!(schema(&database).await, made, "{steps:?}");
    }
    Migrator::down(&database, None).await.unwrap();
    let left = schema(&database).await;
    let is_ours =
        |line: &&String| line.contains("symbolon_") && !line.contains("symbolon_migration");
    assert_eq!(left.iter().find(is_ours), None);
    database.close().await.unwrap();
    let server = Server::start(folder.path());
    server.register("ada").await;
    assert_eq!(Answer::of(server.post_tokens("ada")).await.status, 200);
}

#[test]
fn a_second_migrate_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (code, output, _) = finish(symbolon(folder.path()).arg("migrate"));
        assert_eq!(code, Some(0));
        assert!(output.ends_with(" is up to date\n"), "{output}");
        assert!(!output.contains(DATABASE_PASSWORD), "{output}");
    }
}

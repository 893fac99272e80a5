//! Reverting and applying migrations.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, Statement};

use crate::support::{
    Answer, DATABASE_PASSWORD, Server, database_in, database_url, finish, on_postgres, symbolon,
};

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

#[tokio::test]
async fn a_migration_deletes_surplus_expired_access_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(folder.path(), "symbolon.db");
    if !on_postgres() {
        std::fs::File::create(folder.path().join("symbolon.db")).unwrap();
    }
    let database = sea_orm::Database::connect(&url).await.unwrap();
    Migrator::up(&database, Some(5)).await.unwrap();
    let row = |user: i64, name: i64, expires_at: Option<i64>| {
        let digest = format!("{user:03}{name:029}").into_bytes();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = if on_postgres() {
            format!("'\\x{digest}'")
        } else {
            format!("x'{digest}'")
        };
        let expires_at = expires_at.map_or("NULL".to_owned(), |at| at.to_string());
        format!("({user}, 't{name}', {digest}, '*', 0, {expires_at})")
    };
    // The first user has 20 tokens that do not expire, 10 that expire far in the future, and 70 expired
    // ones. The second user has the maximum.
    let far = 9_000_000_000_000;
    let first = (0..100).map(|number| match number {
        0..20 => row(1, number, None),
        20..90 => row(1, number, Some(number)),
        _ => row(1, number, Some(far + number)),
    });
    let second = (0..50).map(|number| row(2, number, Some(number + 1)));
    let rows = first.chain(second).collect::<Vec<_>>().join(", ");
    let insert = format!(
        "INSERT INTO symbolon_access_token (user_id, name, digest, scopes, created_at, expires_at) VALUES {rows};
         INSERT INTO symbolon_audit_event (kind, at, last_at, count, user_id) VALUES ('DELETED', 0, 0, 1, 7)"
    );
    database.execute_unprepared(&insert).await.unwrap();
    Migrator::up(&database, None).await.unwrap();
    let rows = entity::access_token::Entity::find()
        .all(&database)
        .await
        .unwrap();
    let of = |user| {
        let own = rows.iter().filter(move |row| row.user_id == user);
        own.map(|row| row.name[1..].parse().unwrap())
            .collect::<Vec<i64>>()
    };
    let kept: Vec<_> = (0..20).chain(70..100).collect();
    assert_eq!(of(1), kept);
    assert_eq!(of(2).len(), 50);
    let event = entity::audit_event::Entity::find()
        .one(&database)
        .await
        .unwrap();
    let event = event.unwrap();
    assert_eq!((event.actor_type, event.username), (None, None));
    database.close().await.unwrap();
}

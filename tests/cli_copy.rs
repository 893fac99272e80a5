//! The command `symbolon copy`.

use std::fs;
use std::path::Path;
use std::process::Command;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use crate::support::{
    DATABASE_PASSWORD, PASSWORD, finish, finish_with, unconfigured_symbolon, without_database_line,
};

/// Tables that belong to an instance or to the schema, and are not copied.
const NOT_COPIED: [&str; 2] = ["symbolon_migration", "symbolon_change_counter"];

fn sqlite_url(folder: &Path, file: &str) -> String {
    format!("sqlite://{}", folder.join(file).display())
}

fn on(folder: &Path, url: &str, line: &str) -> Command {
    let mut command = unconfigured_symbolon(folder);
    command
        .env("DATABASE_URL", url)
        .env(
            "SYMBOLON_SECRET_KEY",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
        .env("SYMBOLON_ARGON2_MEMORY", "8")
        .env("SYMBOLON_ARGON2_ITERATIONS", "1")
        .args(line.split_whitespace());
    command
}

fn run(folder: &Path, url: &str, line: &str) -> String {
    let (code, output, error) = finish_with(&mut on(folder, url, line), PASSWORD);
    assert_eq!(code, Some(0), "{line}: {error}");
    output
}

fn copying(folder: &Path, from: &str, to: &str, line: &str) -> Command {
    let mut command = on(folder, from, line);
    command.env("SYMBOLON_COPY_TO", to);
    command
}

fn copy(folder: &Path, from: &str, to: &str) -> String {
    let (code, output, error) = finish(&mut copying(folder, from, to, "copy"));
    assert_eq!((code, without_database_line(&error)), (Some(0), ""));
    output
}

/// Returns the refusal of a copy. No message contains the password of a database.
fn refusal(folder: &Path, from: &str, to: &str) -> String {
    let (code, output, error) = finish(&mut copying(folder, from, to, "copy"));
    assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
    assert!(!error.contains(DATABASE_PASSWORD), "{error}");
    let refusal = without_database_line(&error).to_owned();
    assert_eq!(refusal.lines().count(), 1, "{error}");
    let (code, _, dry_run) = finish(&mut copying(folder, from, to, "copy --dry-run"));
    assert_eq!(
        (code, without_database_line(&dry_run)),
        (Some(1), refusal.as_str())
    );
    refusal
}

async fn texts(database: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(DbBackend::Sqlite, sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

/// Returns each table that is copied, with its columns and their types.
async fn tables(database: &DatabaseConnection) -> Vec<(String, Vec<(String, String)>)> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'symbolon%' ORDER BY name";
    let mut tables = Vec::new();
    for name in texts(database, names).await {
        if NOT_COPIED.contains(&&*name) {
            continue;
        }
        let columns = format!("SELECT name || ' ' || type FROM pragma_table_info('{name}')");
        let columns = texts(database, &columns).await.into_iter().map(|column| {
            let (name, kind) = column.split_once(' ').unwrap();
            (name.to_owned(), kind.to_lowercase())
        });
        tables.push((name, columns.collect()));
    }
    assert!(tables.len() >= 7);
    tables
}

/// Returns all rows of an SQLite database, and the highest ids.
async fn dump(folder: &Path, file: &str) -> Vec<String> {
    let database = Database::connect(sqlite_url(folder, file)).await.unwrap();
    let mut rows = Vec::new();
    for (table, columns) in tables(&database).await {
        let quoted = columns.iter().map(|(name, _)| format!("quote({name})"));
        let quoted = quoted.collect::<Vec<_>>().join(" || ',' || ");
        let select = format!("SELECT {quoted} FROM {table} ORDER BY 1");
        let of_table = texts(&database, &select).await.into_iter();
        rows.extend(of_table.map(|row| format!("{table}: {row}")));
    }
    let ids = "SELECT name || ' ' || seq FROM sqlite_sequence WHERE name <> 'symbolon_change_counter' AND seq > 0 ORDER BY 1";
    rows.extend(texts(&database, ids).await);
    database.close().await.unwrap();
    rows
}

/// Creates a database with a row that has a distinct value in each column, and a row that has NULL where it can.
async fn create_with_every_column(folder: &Path, file: &str) {
    run(folder, &sqlite_url(folder, file), "migrate");
    let database = Database::connect(sqlite_url(folder, file)).await.unwrap();
    let mut number = 1000;
    for (table, columns) in tables(&database).await {
        let is_null = format!(
            "SELECT name FROM pragma_table_info('{table}') WHERE \"notnull\" = 0 AND pk = 0"
        );
        let nullable = texts(&database, &is_null).await;
        for has_nulls in [false, true] {
            let values = columns.iter().map(|(name, kind)| {
                number += 1;
                if has_nulls && nullable.contains(name) {
                    "NULL".to_owned()
                } else if name == "role" {
                    "'admin'".to_owned()
                } else if kind.contains("blob") {
                    format!("x'00ff{number}'")
                } else if kind.contains("int") {
                    format!("{}", i64::from(number) * 1_000_000_007)
                } else {
                    format!("'ﬀ😀\u{1}\u{10ffff}'' {number}'")
                }
            });
            let values = values.collect::<Vec<_>>().join(", ");
            let insert = format!("INSERT INTO {table} VALUES ({values})");
            database.execute_unprepared(&insert).await.unwrap();
        }
    }
    // The id of a deleted user.
    let deleted = "UPDATE sqlite_sequence SET seq = 9000000000000 WHERE name = 'symbolon_user'";
    database.execute_unprepared(deleted).await.unwrap();
    database.close().await.unwrap();
}

mod sqlite {
    use super::*;
    use crate::support::Server;

    #[tokio::test]
    async fn every_column_of_every_table_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        create_with_every_column(folder, "a.db").await;
        let (from, to) = (sqlite_url(folder, "a.db"), sqlite_url(folder, "b.db"));
        let (code, dry_run, _) = finish(&mut copying(folder, &from, &to, "copy --dry-run"));
        assert_eq!(code, Some(0));
        assert!(dry_run.ends_with(&format!(
            "14 rows would be copied to {}\n",
            folder.join("b.db").display()
        )));
        assert!(!folder.join("b.db").exists() && !folder.join("b.db-lock").exists());
        copy(folder, &from, &to);
        assert_eq!(dump(folder, "a.db").await, dump(folder, "b.db").await);
        let added: serde_json::Value =
            serde_json::from_str(&run(folder, &to, "user add next --json")).unwrap();
        assert_eq!(added["id"], "9000000000001");
    }

    #[tokio::test]
    async fn a_copy_that_would_lose_data_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let url = |file: &str| sqlite_url(path, file);
        run(path, &url("symbolon.db"), "user list --help");
        run(path, &url("symbolon.db"), "migrate");
        run(path, &url("symbolon.db"), "user add ada --admin");
        run(path, &url("used.db"), "migrate");
        run(path, &url("used.db"), "user add bob");
        std::os::unix::fs::symlink("symbolon.db", path.join("link.db")).unwrap();
        let unset = finish(&mut copying(path, &url("symbolon.db"), " ", "copy"));
        assert!(unset.2.contains("SYMBOLON_COPY_TO"), "{}", unset.2);
        let invalid = "postgres://a:a-secret-of-the-database@h/b?colour=red";
        let refused = finish(&mut copying(path, &url("symbolon.db"), invalid, "copy"));
        assert!(refused.2.contains("SYMBOLON_COPY_TO: "), "{}", refused.2);
        assert!(!refused.2.contains(DATABASE_PASSWORD), "{}", refused.2);
        let before = fs::read(path.join("used.db")).unwrap();
        let error = refusal(path, &url("symbolon.db"), &url("used.db"));
        assert!(error.contains("symbolon_user has rows"), "{error}");
        assert_eq!(fs::read(path.join("used.db")).unwrap(), before);
        for (from, to, expected) in [
            ("symbolon.db", "link.db", "both the source and the target"),
            ("symbolon.db", "missing/new.db", "does not exist"),
            ("missing.db", "new.db", "does not exist"),
        ] {
            let (code, _, error) = finish(&mut copying(path, &url(from), &url(to), "copy"));
            assert_eq!(code, Some(1));
            assert!(error.contains(expected), "{from} {to}: {error}");
        }
        // The changes in the write-ahead log of one name are not visible through the other name.
        for [first, second] in [["symbolon.db", "name.db"], ["empty.db", "other.db"]] {
            fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path.join(first))
                .unwrap();
            fs::hard_link(path.join(first), path.join(second)).unwrap();
        }
        for (from, to) in [("name.db", "new.db"), ("used.db", "other.db")] {
            let error = refusal(path, &url(from), &url(to));
            assert!(error.contains("more than one name"), "{from} {to}: {error}");
        }
        fs::remove_file(path.join("name.db")).unwrap();
        let server = Server::on_sqlite(path);
        let error = refusal(path, &url("symbolon.db"), &url("new.db"));
        assert!(
            error.contains("a server or another command is using"),
            "{error}"
        );
        assert!(!path.join("new.db").exists());
        drop(server);
        let lock = fs::File::open(path.join("symbolon.db-lock")).unwrap();
        lock.lock().unwrap();
        for line in ["serve", "user list"] {
            let (code, _, error) = finish(&mut on(path, &url("symbolon.db"), line));
            assert_eq!(code, Some(1), "{line}");
            assert!(error.contains("being copied or restored"), "{error}");
        }
        drop(lock);
        copy(path, &url("symbolon.db"), &url("new.db"));
    }

    #[tokio::test]
    async fn the_source_is_read_completely_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let url = |file: &str| sqlite_url(folder, file);
        create_with_every_column(folder, "a.db").await;
        // A backup has a rollback journal.
        run(folder, &url("a.db"), "backup backup.db");
        let backup = fs::read(folder.join("backup.db")).unwrap();
        let (code, ..) = finish(&mut copying(
            folder,
            &url("backup.db"),
            &url("b.db"),
            "copy --dry-run",
        ));
        assert_eq!(code, Some(0));
        copy(folder, &url("backup.db"), &url("b.db"));
        // The result of the work is reported even if standard output cannot be written to.
        let mut full = copying(folder, &url("backup.db"), &url("full.db"), "copy");
        let device = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = full.stdout(device).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(error.contains("14 rows copied to "), "{error}");
        // A dry run does not change an existing target either.
        fs::copy(folder.join("backup.db"), folder.join("used.db")).unwrap();
        refusal(folder, &url("a.db"), &url("used.db"));
        for file in ["backup.db", "used.db"] {
            assert_eq!(fs::read(folder.join(file)).unwrap(), backup, "{file}");
            assert!(!folder.join(format!("{file}-wal")).exists());
        }
        assert_eq!(dump(folder, "a.db").await, dump(folder, "b.db").await);
        // The last change is only in the write-ahead log.
        let database = Database::connect(url("a.db")).await.unwrap();
        let change = "UPDATE symbolon_user SET role = 'user'";
        database.execute_unprepared(change).await.unwrap();
        for suffix in ["", "-wal"] {
            let from = folder.join(format!("a.db{suffix}"));
            fs::copy(from, folder.join(format!("killed.db{suffix}"))).unwrap();
        }
        database.close().await.unwrap();
        copy(folder, &url("killed.db"), &url("c.db"));
        assert_eq!(dump(folder, "a.db").await, dump(folder, "c.db").await);
    }

    #[tokio::test]
    async fn a_killed_copy_leaves_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (from, to) = (sqlite_url(folder, "a.db"), sqlite_url(folder, "b.db"));
        run(folder, &from, "migrate");
        let database = Database::connect(&from).await.unwrap();
        let users = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
            INSERT INTO symbolon_user (username, username_canonical, password_hash, password_version, role, created_at)
            SELECT 'user' || n, 'user' || n, hex(randomblob(50)), 1, 'user', 0 FROM n";
        database.execute_unprepared(users).await.unwrap();
        database.close().await.unwrap();
        let before = dump(folder, "a.db").await;
        let mut child = copying(folder, &from, &to, "copy").spawn().unwrap();
        crate::support::eventually("rows are written", async || {
            let journal = fs::metadata(folder.join("b.db-wal"));
            journal
                .is_ok_and(|journal| journal.len() > 1_000_000)
                .then_some(())
        })
        .await;
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(dump(folder, "b.db").await, [""; 0]);
        assert_eq!(dump(folder, "a.db").await, before);
        copy(folder, &from, &to);
        assert_eq!(dump(folder, "b.db").await, before);
    }
}

mod postgres {
    use super::*;
    use crate::support::{Server, shared_postgres};
    use serde_json::json;

    #[tokio::test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    async fn a_copy_to_postgresql_and_back_is_equal() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        create_with_every_column(folder, "a.db").await;
        let (first, last) = (sqlite_url(folder, "a.db"), sqlite_url(folder, "b.db"));
        let between = shared_postgres().create();
        // The columns of PostgreSQL have limits that SQLite does not enforce.
        copy(folder, &first, &between);
        copy(folder, &between, &last);
        assert_eq!(dump(folder, "a.db").await, dump(folder, "b.db").await);
        for url in [&between, &last] {
            let added = run(folder, url, "user add next --json");
            assert!(added.contains(r#""id":"9000000000001""#), "{added}");
            let again = finish_with(&mut on(folder, url, "user add NEXT"), PASSWORD);
            assert!(again.2.contains("This username is taken"), "{}", again.2);
        }
        let error = refusal(folder, &first, &between);
        assert!(error.contains("is not empty"), "{error}");
        let database = Database::connect(&first).await.unwrap();
        let nul = "UPDATE symbolon_user SET email = 'a' || char(0) || 'b' WHERE email IS NOT NULL";
        database.execute_unprepared(nul).await.unwrap();
        let id = texts(
            &database,
            "SELECT CAST(id AS TEXT) FROM symbolon_user WHERE email IS NOT NULL",
        );
        let id = id.await.remove(0);
        database.close().await.unwrap();
        let to = shared_postgres().create();
        let (_, _, error) = finish(&mut copying(folder, &first, &to, "copy"));
        assert!(
            error.contains(&format!("the row {id} of the table symbolon_user")),
            "{error}"
        );
        assert!(error.contains("has no rows"), "{error}");
    }

    async fn is_accepted(server: &Server, token: &str) -> bool {
        let me = server.graphql("{ me { username } }").bearer(token);
        me.send().await.at("/data/me/username") == "ada"
    }

    fn serve(folder: &Path, url: &str) -> Server {
        Server::configured(folder, |command| {
            command
                .env("DATABASE_URL", url)
                .env("SYMBOLON_SECRET_KEY_FILE", crate::support::common_key());
        })
    }

    #[tokio::test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    async fn tokens_survive_a_copy_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let urls = [
            sqlite_url(folder, "a.db"),
            shared_postgres().create(),
            sqlite_url(folder, "b.db"),
        ];
        let server = serve(folder, &urls[0]);
        server.register("ada").await;
        let create = r#"createAccessToken(input: { name: "laptop", scopes: ["*"] }) { token }"#;
        let created = server.mutate_as("ada", create).await;
        let access = created.string("/data/createAccessToken/token").to_owned();
        let shared = server.sign_in("ada").await;
        let device = server.sign_in_on("ada", "phone").await;
        let revoked = server.sign_in_on("ada", "lost").await;
        let revoke = server.graphql("mutation { revokeToken }").bearer(&revoked);
        assert_eq!(revoke.send().await.at("/data/revokeToken"), true);
        drop(server);
        let trail = run(folder, &urls[0], "audit --json");
        for [from, to] in [[&urls[0], &urls[1]], [&urls[1], &urls[2]]] {
            copy(folder, from, to);
            assert_eq!(run(folder, to, "audit --json"), trail);
            let server = serve(folder, to);
            for token in [&shared, &device, &access] {
                assert!(is_accepted(&server, token).await, "{to}");
            }
            let refused = server.graphql("{ me { username } }").bearer(&revoked);
            assert_eq!(
                refused.send().await.error(),
                ("UNAUTHENTICATED", "TOKEN_EXPIRED")
            );
            // While the server runs, the database can be neither a source nor a target.
            let other = sqlite_url(folder, "other.db");
            let error = refusal(folder, to, &other);
            assert!(error.contains("is using the database"), "{error}");
            assert!(!folder.join("other.db").exists());
        }
        let server = serve(folder, &urls[2]);
        assert_eq!(server.sign_in("ada").await, shared);
        assert_eq!(json!(server.register("bob").await), json!(2));
    }
}

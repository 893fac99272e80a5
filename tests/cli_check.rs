//! The command `symbolon check`.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use migration::{Migrator, MigratorTrait};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::cli_database_selection::files;
use crate::support::{Cli, DATABASE_PASSWORD, Server, database_in, finish, on_postgres};

/// The exit code and the checks: their name, result and detail.
struct Checks {
    code: i32,
    rows: Vec<[String; 3]>,
}

impl Checks {
    /// Runs the command, which changes no file.
    fn run(cli: &Cli, environment: &[(&str, &str)]) -> Self {
        let before = files(cli.folder.path());
        let mut command = cli.command("check --json");
        let (code, output, error) = finish(command.envs(environment.iter().copied()));
        assert_eq!(files(cli.folder.path()), before);
        assert!(
            !(output.clone() + &error).contains(DATABASE_PASSWORD),
            "{output}"
        );
        let rows = output
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let rows = rows.filter(|row| row["check"].is_string());
        let rows = rows.map(|row| {
            ["check", "result", "detail"].map(|field| row[field].as_str().unwrap().to_owned())
        });
        Self {
            code: code.unwrap(),
            rows: rows.collect(),
        }
    }

    fn row(&self, check: &str) -> (&str, &str) {
        let mut rows = self.rows.iter().filter(|[name, ..]| name == check);
        let [_, result, detail] = rows.next().unwrap();
        (result, detail)
    }

    /// Asserts the result and a part of the detail of a check. If no check failed, the exit code is 0.
    fn assert(&self, check: &str, result: &str, text: &str) {
        let (found, detail) = self.row(check);
        assert!(
            found == result && detail.contains(text),
            "{check}: {found}: {detail}"
        );
        let has_failed = self.rows.iter().any(|[_, result, _]| result == "failed");
        assert_eq!(self.code, i32::from(has_failed));
    }
}

#[tokio::test]
async fn the_state_of_the_tables_is_reported_and_nothing_is_changed() {
    let cli = Cli::in_empty_folder();
    let missing = if on_postgres() {
        "no tables"
    } else {
        "does not exist"
    };
    let checks = Checks::run(&cli, &[]);
    checks.assert("database", "note", missing);
    checks.assert("database", "note", &cli.database());
    checks.assert("clock", "ok", "");
    checks.assert("port", "ok", "127.0.0.1:");
    assert_eq!(checks.code, 0);
    cli.run("migrate");
    Checks::run(&cli, &[]).assert("database", "ok", "tables of this version");
    Checks::run(&cli, &[]).assert("server key", "ok", "");
    let database = database_in(cli.folder.path()).await;
    Migrator::down(&database, Some(1)).await.unwrap();
    // The last connection deletes the journal, whose index a reader would change.
    database.close().await.unwrap();
    Checks::run(&cli, &[]).assert("database", "note", "pending migrations");
    let database = database_in(cli.folder.path()).await;
    let left = Migrator::get_pending_migrations_read_only(&database);
    assert_eq!(left.await.unwrap().len(), 1);
    database.close().await.unwrap();
    cli.run("migrate");
    cli.sql("INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)")
        .await;
    Checks::run(&cli, &[]).assert("database", "failed", "newer version");
}

#[test]
fn an_unusable_key_is_reported() {
    let cli = Cli::new();
    let key = [
        ("SYMBOLON_SECRET_KEY", "a secret without meaning"),
        ("SYMBOLON_SECRET_KEY_FILE", ""),
    ];
    let checks = Checks::run(&cli, &key);
    checks.assert(
        "server key",
        "failed",
        "SYMBOLON_SECRET_KEY does not contain",
    );
    assert!(!format!("{:?}", checks.rows).contains("a secret without meaning"));
    let key = [("SYMBOLON_SECRET_KEY_FILE", "missing.key")];
    Checks::run(&cli, &key).assert(
        "server key",
        "failed",
        "SYMBOLON_SECRET_KEY_FILE: the key file missing.key",
    );
    let exposed = cli.folder.path().join("exposed.key");
    let text = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    fs::write(&exposed, text).unwrap();
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    let key = [("SYMBOLON_SECRET_KEY_FILE", "exposed.key")];
    Checks::run(&cli, &key).assert("server key", "note", "exposed.key can be read by other");
    if on_postgres() {
        let none = [("SYMBOLON_SECRET_KEY_FILE", "")];
        Checks::run(&cli, &none).assert("server key", "failed", "openssl rand");
    }
}

#[test]
fn a_port_that_another_program_uses_is_reported() {
    let cli = Cli::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let checks = Checks::run(&cli, &[("SYMBOLON_PORT", &port)]);
    checks.assert("port", "failed", "SYMBOLON_PORT");
    let checks = Checks::run(&cli, &[("SYMBOLON_METRICS_PORT", &port)]);
    checks.assert("metrics port", "failed", "SYMBOLON_METRICS_PORT");
    let checks = Checks::run(&cli, &[("SYMBOLON_HOST", "name.invalid")]);
    checks.assert(
        "port",
        "failed",
        "SYMBOLON_HOST: the host name name.invalid",
    );
    checks.assert("port", "failed", "set the host to");
    let checks = Checks::run(&cli, &[("SYMBOLON_HOST", "192.0.2.1")]);
    checks.assert(
        "port",
        "failed",
        "set the host to an address of this machine",
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let both = [
        ("SYMBOLON_PORT", port.as_str()),
        ("SYMBOLON_METRICS_PORT", &port),
    ];
    Checks::run(&cli, &both).assert("metrics port", "failed", "the server itself listens");
    for (host, outcome, detail) in [
        ("localhost", "failed", "the server itself listens"),
        ("127.0.0.2", "ok", "127.0.0.2:"),
        ("::1", "ok", "[::1]:"),
        ("192.0.2.1", "failed", "SYMBOLON_METRICS_HOST"),
        (
            "name.invalid",
            "failed",
            "SYMBOLON_METRICS_HOST: the host name",
        ),
    ] {
        let [own, metrics] = both;
        let settings = [own, metrics, ("SYMBOLON_METRICS_HOST", host)];
        Checks::run(&cli, &settings).assert("metrics port", outcome, detail);
    }
}

#[test]
fn a_program_that_is_not_symbolon_is_a_failure() {
    let cli = Cli::new();
    for (status, body, is_symbolon) in [
        ("200 OK", "ready\n", true),
        (
            "503 Service Unavailable",
            r#"{"error":{"code":"SERVICE_UNAVAILABLE","message":"x"}}"#,
            true,
        ),
        ("200 OK", "<html>ready</html>", false),
        ("503 Service Unavailable", "down", false),
        ("404 Not Found", "ready\n", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /readyz "));
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        });
        let checks = Checks::run(&cli, &[("SYMBOLON_PORT", &port)]);
        let result = if is_symbolon { "note" } else { "failed" };
        checks.assert("port", result, "");
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_table_of_another_program_is_a_failure() {
    let cli = Cli::in_empty_folder();
    // SQLite takes an empty file for an empty database.
    fs::write(cli.folder.path().join("symbolon.db"), "").unwrap();
    let database = database_in(cli.folder.path()).await;
    let create = "CREATE TABLE symbolon_user (name text)";
    database.execute_unprepared(create).await.unwrap();
    database.close().await.unwrap();
    Checks::run(&cli, &[]).assert("database", "failed", "use another database");
    let (code, _, error) = finish(&mut cli.command("migrate"));
    assert_eq!(code, Some(1));
    assert!(error.contains("already exists"), "{error}");
    assert!(!error.contains("at line"), "{error}");
}

#[test]
fn a_running_server_is_no_failure() {
    let cli = Cli::in_empty_folder();
    let server = Server::start(cli.folder.path());
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let mut command = cli.command("check");
    let (code, output, error) = finish(command.env("PORT", &port));
    assert_eq!(code, Some(0), "{output}{error}");
    assert!(output.contains("/readyz answers 200"), "{output}");
    assert!(
        output.contains("has the tables of this version"),
        "{output}"
    );
}

#[test]
fn unknown_variables_are_notes() {
    let cli = Cli::in_empty_folder();
    let unknown = [
        ("SYMBOLON_PUBLIC_ULR", "https://login.example.org"),
        ("SYMBOLON_SERVICE_HOST", "10.96.0.7"),
    ];
    let checks = Checks::run(&cli, &unknown);
    checks.assert("environment", "note", "did you mean SYMBOLON_PUBLIC_URL?");
    assert!(
        checks
            .rows
            .iter()
            .any(|[_, _, detail]| detail.contains("SYMBOLON_SERVICE_HOST"))
    );
    Checks::run(&cli, &[]).assert("environment", "ok", "");
}

mod sqlite {
    use super::*;

    #[test]
    fn files_that_are_no_database_and_missing_folders_are_reported() {
        let cli = Cli::in_empty_folder();
        fs::write(
            cli.folder.path().join("text.db"),
            "This is not a database. ".repeat(100),
        )
        .unwrap();
        for (url, text) in [
            ("sqlite://text.db", "not an SQLite database"),
            ("sqlite://missing/symbolon.db", "missing does not exist"),
            ("sqlite://.", "not a file"),
        ] {
            Checks::run(&cli, &[("DATABASE_URL", url)]).assert("database", "failed", text);
        }
        // A symbolic link is checked like the file to which it leads.
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, cli.folder.path().join(name)).unwrap();
        };
        link("/nonexistent/symbolon.db", "nowhere.db");
        let nowhere = [("DATABASE_URL", "sqlite://nowhere.db")];
        Checks::run(&cli, &nowhere).assert("database", "failed", "nowhere.db cannot be read");
        link("text.db", "link.db");
        let linked = [("DATABASE_URL", "sqlite://link.db")];
        Checks::run(&cli, &linked).assert("database", "failed", "not an SQLite database");
        // A pseudo file system has no space and cannot be written to, not even by root.
        let checks = Checks::run(&cli, &[("DATABASE_URL", "sqlite:///sys/symbolon.db")]);
        checks.assert("free space", "failed", "0 MiB at /sys");
    }

    #[test]
    fn damaged_files_and_dangling_key_files_are_reported() {
        let cli = Cli::new();
        let path = |name: &str| cli.folder.path().join(name);
        let whole = fs::read(path("symbolon.db")).unwrap();
        let page = 4096;
        for damaged in [
            // A page in the middle, the pages at the end, and the schema.
            [&whole[..3 * page], &[0xab; 4096], &whole[4 * page..]].concat(),
            whole[..5 * page].to_vec(),
            [&whole[..100], &[0xab; 3000], &whole[3100..]].concat(),
        ] {
            fs::write(path("damaged.db"), damaged).unwrap();
            let damaged = [("DATABASE_URL", "sqlite://damaged.db")];
            Checks::run(&cli, &damaged).assert("database", "failed", "restore a backup");
        }
        fs::remove_file(path("symbolon.db.key")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("symbolon.db.key")).unwrap();
        Checks::run(&cli, &[]).assert("server key", "failed", "a symbolic link to a file");
    }

    #[test]
    fn a_clock_that_was_set_back_is_reported() {
        let cli = Cli::new();
        let file = cli.folder.path().join("symbolon.db");
        let mut touch = Command::new("touch");
        let (code, ..) = finish(touch.args(["-d", "2099-01-01"]).arg(&file));
        assert_eq!(code, Some(0));
        Checks::run(&cli, &[]).assert("clock", "failed", "before the last change of the database");
    }

    #[test]
    fn the_files_of_a_killed_server_stay() {
        let cli = Cli::in_empty_folder();
        let mut server = Server::start(cli.folder.path());
        server.process.signal("KILL");
        server.process.wait(std::time::Duration::from_secs(10));
        let names = || files(cli.folder.path()).into_keys().collect::<Vec<_>>();
        let before = names();
        assert!(
            before.iter().any(|name| name.ends_with("-wal")),
            "{before:?}"
        );
        let (code, output, error) = finish(&mut cli.command("check"));
        assert_eq!(code, Some(0), "{output}{error}");
        assert_eq!(names(), before);
    }
}

mod postgres {
    use super::*;
    use crate::support::shared_postgres;

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn the_parameters_of_hosting_services_and_unix_sockets_work() {
        let (cli, server) = (Cli::in_empty_folder(), shared_postgres());
        let url = server.create();
        let name = url.rsplit('/').next().unwrap();
        let folder = server.data().parent().unwrap().display().to_string();
        let (port, password) = (server.port(), DATABASE_PASSWORD);
        for url in [
            format!(
                "{url}?sslmode=prefer&channel_binding=prefer&target_session_attrs=read-write&connect_timeout=10"
            ),
            format!(
                "{url}?pgbouncer=true&supa=base-pooler.x&application_name=hosted&options=-c%20work_mem%3D8MB"
            ),
            format!(
                "postgresql://symbolon:{password}@:{port}/{name}?host={folder}&sslmode=require"
            ),
            format!(
                "postgresql:///{name}?host={folder}&port={port}&user=symbolon&password={password}"
            ),
        ] {
            let mut migrate = cli.command("migrate");
            let (code, _, error) = finish(migrate.env("DATABASE_URL", &url));
            assert_eq!(code, Some(0), "{url}: {error}");
            assert!(!error.contains(password), "{error}");
            let checks = Checks::run(&cli, &[("DATABASE_URL", &url)]);
            checks.assert("database", "ok", name);
            checks.assert("clock", "ok", "PostgreSQL server differs by");
        }
        let mut migrate = cli.command("migrate");
        let (code, _, error) =
            finish(migrate.env("DATABASE_URL", format!("{url}?channel_binding=require")));
        assert_eq!(code, Some(1));
        assert!(error.contains("TLS"), "{error}");
    }

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn a_server_that_cannot_be_written_to_or_reached_is_reported() {
        let (cli, server) = (Cli::new(), shared_postgres());
        let name = cli.database().rsplit('/').next().unwrap().to_owned();
        let url = server.url(&name);
        let read_only = format!("{url}?options=-c%20default_transaction_read_only%3Don");
        Checks::run(&cli, &[("DATABASE_URL", &read_only)]).assert(
            "database",
            "failed",
            "read-only",
        );
        let role = format!("reader_{name}");
        server.run_on(
            &url,
            &[
                format!("CREATE ROLE {role} LOGIN"),
                format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
            ],
        );
        let reader = url.replace("symbolon:", &format!("{role}:"));
        Checks::run(&cli, &[("DATABASE_URL", &reader)]).assert(
            "database",
            "failed",
            "no permission to write",
        );
        let nowhere = url.replace(&format!(":{}/", server.port()), ":1/");
        Checks::run(&cli, &[("DATABASE_URL", &nowhere)]).assert("database", "failed", "refused");
    }
}

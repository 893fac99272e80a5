//! The database that a command opens, creates or refuses, and how the command names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use symbolon::{Config, Symbolon};

use crate::support::{
    Cli, DATABASE_PASSWORD, PASSWORD, Server, database_in, finish, finish_with, on_postgres,
    shared_postgres, succeed, unconfigured_symbolon, without_database_line,
};

/// A command without subcommands.
struct Leaf {
    /// The command line, with a value for each required argument.
    line: String,
    opens_a_database: bool,
    /// Whether the command creates a missing database, or checks databases in another order than other commands:
    /// `copy` and `restore`, which have tests of their own.
    is_special: bool,
}

/// Returns all commands but `serve` and `check`, as listed by `--help`.
fn leaves() -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let mut queue = vec![String::new()];
    while let Some(words) = queue.pop() {
        let help = help(&words);
        let commands = section(&help, "Commands:");
        let commands = commands.iter().filter_map(|line| {
            let line = line.strip_prefix("  ")?;
            let name = line.split_whitespace().next()?;
            (line.starts_with(name) && name != "help").then_some(name)
        });
        let commands: Vec<_> = commands.collect();
        queue.extend(commands.iter().map(|name| format!("{words} {name}")));
        if commands.is_empty() && ![" serve", " check"].contains(&&*words) {
            leaves.push(leaf(&words, &help));
        }
    }
    assert!(leaves.len() >= 15, "the help is read wrongly");
    leaves
}

fn help(words: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = unconfigured_symbolon(folder.path());
    succeed(command.args(words.split_whitespace()).arg("--help"))
}

/// Returns the lines between the heading and the next empty line.
fn section<'a>(help: &'a str, head: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

fn leaf(words: &str, help: &str) -> Leaf {
    let usage = help.lines().find(|line| line.starts_with("Usage: "));
    let needed = usage.unwrap().split(['<', '>']).skip(1).step_by(2);
    let values = needed.map(|name| match (words, name) {
        (_, "USERNAME" | "USERNAME|--all") => "ada",
        (_, "ROLE") => "admin",
        (" user import" | " restore", "FILE") => "users.csv",
        (" backup", "FILE") => "copy.db",
        (" completions", "SHELL") => "bash",
        _ => panic!("a value for <{name}> of {words:?} is to be added to this test"),
    });
    let values: Vec<_> = values.collect();
    Leaf {
        line: format!("{words} {}", values.join(" ")).trim().to_owned(),
        opens_a_database: help.contains("--database-url"),
        is_special: [" migrate", " copy", " restore"].contains(&words),
    }
}

/// Returns the commands that open a database and do not create one.
pub fn operating() -> Vec<String> {
    let leaves = leaves().into_iter();
    let operating = leaves.filter(|leaf| leaf.opens_a_database && !leaf.is_special);
    operating.map(|leaf| leaf.line).collect()
}

/// Returns the content of each file in a folder.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap_or_default())
    });
    files.collect()
}

/// Returns the refusal of a command: one line on standard error.
pub fn refusal(command: &mut Command) -> String {
    let (code, output, error) = finish_with(command, PASSWORD);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{command:?}");
    assert_eq!(error.lines().count(), 1, "{command:?}: {error}");
    error
}

pub fn command_on_sqlite(folder: &Path, line: &str) -> Command {
    let mut command = unconfigured_symbolon(folder);
    command.args(line.split_whitespace());
    command
}

#[test]
fn each_command_prints_the_database_that_it_opens() {
    let cli = Cli::with_users(&["root", "ada"]);
    let file = cli.folder.path().join("users.csv");
    fs::write(file, "username,password\nbob,correct horse\n").unwrap();
    let named = format!("symbolon: database {}", cli.database());
    for leaf in leaves() {
        let line = leaf.line;
        if line.starts_with("user delete") {
            continue;
        }
        let mut command = cli.command(&line);
        command.env("SYMBOLON_COPY_TO", "sqlite://target.db");
        let (_, output, error) = finish_with(&mut command, PASSWORD);
        let count = error.lines().filter(|line| *line == named).count();
        assert_eq!(count, usize::from(leaf.opens_a_database), "{line}");
        if leaf.opens_a_database {
            assert_eq!(error.lines().next(), Some(named.as_str()), "{line}");
        } else {
            let others = ["completions bash", "healthcheck", "schema"];
            assert!(others.contains(&line.as_str()), "{line}");
        }
        assert!(!output.contains("symbolon: database"), "{line}");
        assert!(!(output + &error).contains(DATABASE_PASSWORD), "{line}");
    }
    cli.run("user delete ada --yes");
    let server = Server::start(cli.folder.path());
    let startup_output = &server.startup_output;
    assert!(startup_output.contains(&cli.database()), "{startup_output}");
    assert!(help("serve").contains("--database-url"));
}

#[tokio::test]
async fn commands_do_not_migrate_the_database() {
    let cli = Cli::with_users(&["ada"]);
    fs::write(cli.folder.path().join("users.csv"), "username,password\n").unwrap();
    let database = database_in(cli.folder.path()).await;
    Migrator::down(&database, Some(1)).await.unwrap();
    for line in operating() {
        let error = refusal(&mut cli.command(&line));
        assert!(error.contains(&cli.database()), "{line}: {error}");
        assert!(error.contains("`symbolon migrate`"), "{line}: {error}");
        let left = Migrator::get_pending_migrations_read_only(&database);
        assert_eq!(left.await.unwrap().len(), 1, "{line}");
    }
    database.close().await.unwrap();
    cli.run("migrate");
    cli.run("user show ada");
    cli.sql("INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)")
        .await;
    let error = refusal(&mut cli.command("user list"));
    assert!(error.contains("newer version"), "{error}");
    assert!(error.contains("m20990101_000001_wings"), "{error}");
}

#[tokio::test]
async fn open_operator_requires_an_existing_database() {
    let cli = Cli::in_empty_folder();
    let mut config = Config::default();
    config.database_url = crate::support::database_url(cli.folder.path(), "symbolon.db").into();
    config.secret_key = Some(
        "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
            .to_owned()
            .into(),
    );
    let error = Symbolon::open_operator(config.clone()).await.unwrap_err();
    let expected_text = if on_postgres() {
        "no tables of Symbolon"
    } else {
        "does not exist"
    };
    assert!(error.to_string().contains(expected_text), "{error}");
    assert!(files(cli.folder.path()).is_empty());
    let symbolon = Symbolon::open(config.clone()).await.unwrap();
    let operator = Symbolon::open_operator(config).await.unwrap();
    assert_eq!(operator.database(), symbolon.database());
    assert_eq!(operator.users(None).await.unwrap().len(), 0);
    operator.close().await.unwrap();
    symbolon.close().await.unwrap();
}

#[test]
fn the_database_url_comes_from_the_flag_or_the_environment() {
    let cli = Cli::in_empty_folder();
    let flag = "--database-url sqlite://flag.db";
    for line in [
        format!("migrate {flag}"),
        format!("user {flag} add ada"),
        format!("user add bob {flag}"),
    ] {
        let mut command = cli.command(&line);
        command.env("DATABASE_URL", "sqlite://environment.db");
        let (code, _, error) = finish_with(&mut command, PASSWORD);
        assert_eq!((code, without_database_line(&error)), (Some(0), ""));
        assert!(error.contains("flag.db"), "{error}");
    }
    let list = succeed(&mut cli.command(&format!("user list --json {flag}")));
    assert_eq!(list.lines().count(), 2);
    assert!(!cli.folder.path().join("environment.db").exists());
    for line in ["migrate", "user add ada"] {
        let mut command = cli.command(line);
        command.env("DATABASE_URL", "sqlite://environment.db");
        let (code, _, error) = finish_with(&mut command, PASSWORD);
        assert_eq!((code, without_database_line(&error)), (Some(0), ""));
        assert!(error.contains("environment.db"), "{error}");
    }
    assert!(cli.folder.path().join("environment.db").exists());
    assert!(!cli.folder.path().join("symbolon.db").exists());
}

mod sqlite {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_database_is_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.db");
        let text = "This is not a database. ".repeat(100);
        fs::write(&file, &text).unwrap();
        let error = refusal(unconfigured_symbolon(folder.path()).env("PORT", "0"));
        assert!(error.contains("not a database"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(!folder.path().join("symbolon.db.key").exists());
    }

    #[test]
    fn commands_create_no_database_file() {
        for line in operating() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("users.csv"), "username,password\n").unwrap();
            let before = files(folder.path());
            let looked_for = folder.path().canonicalize().unwrap();
            for url in [None, Some("sqlite://other.db")] {
                let mut command = command_on_sqlite(folder.path(), &line);
                command.envs(url.map(|url| ("DATABASE_URL", url)));
                let error = refusal(&mut command);
                let name = url.map_or("symbolon.db", |url| &url["sqlite://".len()..]);
                let file = looked_for.join(name);
                let expected_text = format!("database {} does not exist", file.display());
                assert!(error.contains(&expected_text), "{line}: {error}");
                for word in ["--database-url", "DATABASE_URL", "`symbolon migrate`"] {
                    assert!(error.contains(word), "{line}: {error}");
                }
                assert_eq!(files(folder.path()), before, "{line}");
            }
        }
    }

    async fn connect(file: &Path) -> DatabaseConnection {
        let url = format!("sqlite://{}?mode=rwc", file.display());
        Database::connect(url).await.unwrap()
    }

    /// Creates a database of another program, in this journal mode.
    async fn another_programs(file: &Path, mode: &str) {
        let database = connect(file).await;
        let make = format!("PRAGMA journal_mode={mode}; CREATE TABLE \"user\" (id INTEGER)");
        database.execute_unprepared(&make).await.unwrap();
        database.close().await.unwrap();
    }

    #[tokio::test]
    async fn commands_refuse_files_that_are_not_symbolon_databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("users.csv"), "username,password\n").unwrap();
        fs::write(path.join("empty.db"), "").unwrap();
        fs::write(path.join("text.db"), "This is not a database. ".repeat(100)).unwrap();
        fs::write(path.join("short.db"), "SQLite format 3\0 and no more").unwrap();
        fs::create_dir(path.join("folder.db")).unwrap();
        another_programs(&path.join("delete.db"), "DELETE").await;
        another_programs(&path.join("wal.db"), "WAL").await;
        let before = files(path);
        for line in operating() {
            for (file, expected_text) in [
                ("empty.db", "the file is empty"),
                ("text.db", "not an SQLite database"),
                ("short.db", "not an SQLite database"),
                ("folder.db", "not a file"),
                ("delete.db", "no tables of Symbolon"),
                ("wal.db", "no tables of Symbolon"),
            ] {
                let mut command = command_on_sqlite(path, &line);
                let error = refusal(command.env("DATABASE_URL", format!("sqlite://{file}")));
                let file = path.canonicalize().unwrap().join(file);
                assert!(error.contains(expected_text), "{line}: {error}");
                assert!(error.contains(file.to_str().unwrap()), "{line}: {error}");
                assert!(error.contains("--database-url"), "{line}: {error}");
                assert_eq!(files(path), before, "{line} on {}", file.display());
            }
        }
    }

    #[tokio::test]
    async fn commands_refuse_the_open_database_of_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.db");
        another_programs(&file, "WAL").await;
        let other = connect(&file).await;
        let write = "CREATE TABLE notes (id INTEGER)";
        other.execute_unprepared(write).await.unwrap();
        let mut before = files(folder.path());
        assert_eq!(before.len(), 3);
        let error = refusal(&mut command_on_sqlite(folder.path(), "user list"));
        assert!(error.contains("no tables of Symbolon"), "{error}");
        let mut after = files(folder.path());
        // Readers change the shared memory file.
        before.insert("symbolon.db-shm".to_owned(), Vec::new());
        after.insert("symbolon.db-shm".to_owned(), Vec::new());
        assert_eq!(after, before);
        other.close().await.unwrap();
    }

    #[tokio::test]
    async fn serve_and_migrate_accept_an_empty_file_and_an_embedders_database() {
        for is_empty in [true, false] {
            for serves in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("symbolon.db");
                if is_empty {
                    fs::write(&file, "").unwrap();
                } else {
                    another_programs(&file, "DELETE").await;
                }
                if serves {
                    drop(Server::on_sqlite(folder.path()));
                } else {
                    succeed(&mut command_on_sqlite(folder.path(), "migrate"));
                }
                succeed(&mut command_on_sqlite(folder.path(), "user list"));
            }
        }
    }
}

mod postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn commands_create_no_tables() {
        let (folder, url) = (tempfile::tempdir().unwrap(), shared_postgres().create());
        fs::write(folder.path().join("users.csv"), "username,password\n").unwrap();
        for line in operating() {
            let mut command = command_on_sqlite(folder.path(), &line);
            let error = refusal(command.env("DATABASE_URL", &url));
            let name = url.replace(&format!(":{DATABASE_PASSWORD}@"), "@");
            assert!(error.contains(&name), "{line}: {error}");
            assert!(error.contains("no tables of Symbolon"), "{line}: {error}");
            assert!(error.contains("`symbolon migrate`"), "{line}: {error}");
            assert!(!error.contains(DATABASE_PASSWORD), "{line}: {error}");
        }
        let mut migrate = command_on_sqlite(folder.path(), "migrate");
        migrate.env("SYMBOLON_SECRET_KEY_FILE", crate::support::common_key());
        succeed(migrate.env("DATABASE_URL", &url));
        // The command runs without the server key.
        let mut list = command_on_sqlite(folder.path(), "user list");
        let (code, _, error) = finish(list.env("DATABASE_URL", &url));
        assert_eq!((code, without_database_line(&error)), (Some(0), ""));
    }
}

//! Which commands create a database, what the others refuse, and how each names the one that it uses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use symbolon::{Config, Symbolon};

use crate::support::{
    DATABASE_PASSWORD, PASSWORD, Server, Shell, after_the_database, database_in, finish,
    finish_with, on_postgres, shared_postgres, succeed, symbolon_on_sqlite,
};

/// A command without commands of its own.
struct Leaf {
    /// How it is called, with a value for each argument that it needs.
    line: String,
    opens_a_database: bool,
    /// Whether it creates the database if it is missing.
    creates: bool,
}

/// All commands but `serve`, as `--help` lists them.
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
        if commands.is_empty() && words != " serve" {
            leaves.push(leaf(&words, &help));
        }
    }
    assert!(leaves.len() >= 15, "the help is read wrongly");
    leaves
}

fn help(words: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = symbolon_on_sqlite(folder.path());
    succeed(command.args(words.split_whitespace()).arg("--help"))
}

/// The lines after this one, up to the next that is empty.
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
        (" user import", "FILE") => "users.csv",
        (" backup", "FILE") => "copy.db",
        _ => panic!("a value for <{name}> of {words:?} is to be added to this test"),
    });
    let values: Vec<_> = values.collect();
    Leaf {
        line: format!("{words} {}", values.join(" ")).trim().to_owned(),
        opens_a_database: help.contains("--database-url"),
        creates: words == " migrate",
    }
}

/// The commands that open a database and do not create one.
fn operating() -> Vec<String> {
    let leaves = leaves().into_iter();
    let operating = leaves.filter(|leaf| leaf.opens_a_database && !leaf.creates);
    operating.map(|leaf| leaf.line).collect()
}

/// Each file in a folder, with what is in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap_or_default())
    });
    files.collect()
}

/// Why a command refuses: one line, and nothing on standard output.
fn refusal(command: &mut Command) -> String {
    let (code, output, error) = finish_with(command, PASSWORD);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{command:?}");
    assert_eq!(error.lines().count(), 1, "{command:?}: {error}");
    error
}

fn command_on_sqlite(folder: &Path, line: &str) -> Command {
    let mut command = symbolon_on_sqlite(folder);
    command.args(line.split_whitespace());
    command
}

#[test]
fn each_command_that_opens_a_database_names_it() {
    let shell = Shell::with(&["root", "ada"]);
    let file = shell.folder.path().join("users.csv");
    fs::write(file, "username,password\nbob,correct horse\n").unwrap();
    let named = format!("symbolon: database {}", shell.database());
    for leaf in leaves() {
        let line = leaf.line;
        if line.starts_with("user delete") {
            continue;
        }
        let (_, output, error) = finish_with(&mut shell.command(&line), PASSWORD);
        let count = error.lines().filter(|line| *line == named).count();
        assert_eq!(count, usize::from(leaf.opens_a_database), "{line}");
        if leaf.opens_a_database {
            assert_eq!(error.lines().next(), Some(named.as_str()), "{line}");
        } else {
            assert!(["healthcheck", "schema"].contains(&line.as_str()), "{line}");
        }
        assert!(!output.contains("symbolon: database"), "{line}");
        assert!(!(output + &error).contains(DATABASE_PASSWORD), "{line}");
    }
    shell.prints("user delete ada --yes");
    let server = Server::start(shell.folder.path());
    let greeting = &server.greeting;
    assert!(greeting.contains(&shell.database()), "{greeting}");
    assert!(help("serve").contains("--database-url"));
}

#[test]
fn a_command_creates_no_sqlite_database() {
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
            let says = format!("database {} does not exist", file.display());
            assert!(error.contains(&says), "{line}: {error}");
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

/// A database of another program, in this journal mode.
async fn another_programs(file: &Path, mode: &str) {
    let database = connect(file).await;
    let make = format!("PRAGMA journal_mode={mode}; CREATE TABLE \"user\" (id INTEGER)");
    database.execute_unprepared(&make).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_command_leaves_a_file_alone_that_is_no_sqlite_database_of_symbolon() {
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
        for (file, says) in [
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
            assert!(error.contains(says), "{line}: {error}");
            assert!(error.contains(file.to_str().unwrap()), "{line}: {error}");
            assert!(error.contains("--database-url"), "{line}: {error}");
            assert_eq!(files(path), before, "{line} on {}", file.display());
        }
    }
}

#[tokio::test]
async fn a_command_leaves_an_sqlite_database_alone_that_another_program_has_open() {
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
    // What readers note there is no data.
    before.insert("symbolon.db-shm".to_owned(), Vec::new());
    after.insert("symbolon.db-shm".to_owned(), Vec::new());
    assert_eq!(after, before);
    other.close().await.unwrap();
}

#[tokio::test]
async fn serve_and_migrate_take_an_empty_file_and_the_sqlite_database_of_an_embedder() {
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

#[tokio::test]
async fn a_command_finds_tables_that_a_killed_server_left_in_the_journal_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::on_sqlite(folder.path());
    server.registration("ada").send().await;
    server.process.signal("KILL");
    server.process.wait(std::time::Duration::from_secs(30));
    fs::remove_file(folder.path().join("symbolon.db-shm")).unwrap();
    let listed = succeed(&mut command_on_sqlite(folder.path(), "user list --json"));
    assert!(listed.contains(r#""username":"ada""#), "{listed}");
}

#[tokio::test]
async fn a_command_migrates_no_database() {
    let shell = Shell::with(&["ada"]);
    fs::write(shell.folder.path().join("users.csv"), "username,password\n").unwrap();
    let database = database_in(shell.folder.path()).await;
    Migrator::down(&database, Some(1)).await.unwrap();
    for line in operating() {
        let error = refusal(&mut shell.command(&line));
        assert!(error.contains(&shell.database()), "{line}: {error}");
        assert!(error.contains("`symbolon migrate`"), "{line}: {error}");
        let left = Migrator::get_pending_migrations_read_only(&database);
        assert_eq!(left.await.unwrap().len(), 1, "{line}");
    }
    database.close().await.unwrap();
    shell.prints("migrate");
    shell.prints("user show ada");
    shell
        .sql("INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)")
        .await;
    let error = refusal(&mut shell.command("user list"));
    assert!(error.contains("newer version"), "{error}");
    assert!(error.contains("m20990101_000001_wings"), "{error}");
}

#[test]
fn a_command_needs_no_server_key_and_makes_none_beside_sqlite() {
    let shell = Shell::without_database();
    let key = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let on_sqlite = |line| command_on_sqlite(shell.folder.path(), line);
    succeed(on_sqlite("migrate").env("SYMBOLON_SECRET_KEY", key));
    for line in ["user add ada", "user list", "token list", "token purge"] {
        let (code, _, error) = finish_with(&mut on_sqlite(line), PASSWORD);
        assert_eq!(code, Some(0), "{error}");
    }
    assert!(!shell.folder.path().join("symbolon.db.key").exists());
}

#[test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
fn a_command_makes_no_tables_in_a_postgres_database() {
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
    // Without the server key.
    let mut list = command_on_sqlite(folder.path(), "user list");
    let (code, _, error) = finish(list.env("DATABASE_URL", &url));
    assert_eq!((code, after_the_database(&error)), (Some(0), ""));
}

#[tokio::test]
async fn the_library_opens_an_operator_only_where_there_is_a_database() {
    let shell = Shell::without_database();
    let mut config = Config::from_env().unwrap();
    config.database_url = crate::support::database_url(shell.folder.path(), "symbolon.db").into();
    config.secret_key = Some(
        "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
            .to_owned()
            .into(),
    );
    let error = Symbolon::open_operator(config.clone()).await.unwrap_err();
    let says = if on_postgres() {
        "no tables of Symbolon"
    } else {
        "does not exist"
    };
    assert!(error.to_string().contains(says), "{error}");
    assert!(files(shell.folder.path()).is_empty());
    let symbolon = Symbolon::open(config.clone()).await.unwrap();
    let operator = Symbolon::open_operator(config).await.unwrap();
    assert_eq!(operator.database(), symbolon.database());
    assert_eq!(operator.users(None).await.unwrap().len(), 0);
    operator.close().await.unwrap();
    symbolon.close().await.unwrap();
}

/// A folder of another user. It has a copy of the program, as the user may have no access to the one that
/// was built.
struct Foreign {
    folder: tempfile::TempDir,
    owner: u32,
}

impl Foreign {
    fn new(owner: u32) -> Self {
        let own = fs::metadata("/proc/self").unwrap();
        assert_eq!(own.uid(), 0, "this test needs root: run it with sudo");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("symbolon");
        let built = Path::new(env!("CARGO_BIN_EXE_symbolon"));
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).unwrap();
        }
        fs::write(folder.path().join("users.csv"), "username,password\n").unwrap();
        chown(folder.path(), Some(owner), Some(owner)).unwrap();
        Self { folder, owner }
    }

    /// The program, as root calls it.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.folder.path().join("symbolon"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .args(line.split_whitespace());
        command
    }

    /// The commands that the program prints for root when it refuses. It creates nothing.
    fn advice(&self, command: &mut Command) -> Vec<String> {
        let before = files(self.folder.path());
        let (code, output, error) = finish_with(command, PASSWORD);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
        assert_eq!(files(self.folder.path()), before, "{command:?}");
        let mut lines = error.lines();
        let why = lines.next().unwrap();
        assert!(why.contains("belongs to"), "{error}");
        let folder = self.folder.path().canonicalize().unwrap();
        assert!(why.contains(folder.to_str().unwrap()), "{error}");
        lines.map(|line| line.trim_start().to_owned()).collect()
    }

    /// Runs a printed command as it stands; what it prints on standard error.
    fn run(&self, advice: &str, environment: &[(&str, &str)]) -> String {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", advice])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment.iter().copied());
        let (_, _, error) = finish_with(&mut shell, PASSWORD);
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("symbolon.db") || name.starts_with("it's") {
                let metadata = entry.metadata().unwrap();
                assert_eq!(metadata.uid(), self.owner, "{name} after {advice}");
                assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
            }
        }
        error
    }
}

const NOBODY: u32 = 65534;

#[test]
#[ignore = "needs root, and runuser(1) of util-linux"]
fn root_is_given_the_command_that_uses_a_sqlite_database_as_its_owner() {
    let foreign = Foreign::new(NOBODY);
    let folder = foreign.folder.path().canonicalize().unwrap();
    let program = folder.join("symbolon").display().to_string();
    let named = format!(
        "symbolon: database {}\n",
        folder.join("symbolon.db").display()
    );
    let serve = foreign.advice(foreign.command("serve").env("PORT", "0"));
    assert_eq!(
        serve[0],
        format!("runuser --user nobody -- {program} serve")
    );
    // Nothing is there that could be used.
    let error = refusal(&mut foreign.command("user list"));
    assert!(error.contains("does not exist"), "{error}");
    let mut lines = operating();
    lines.insert(0, "migrate".to_owned());
    for line in lines {
        let advice = foreign.advice(&mut foreign.command(&line));
        let [runuser, systemd] = advice.try_into().unwrap();
        assert_eq!(
            runuser,
            format!("runuser --user nobody -- {program} {line}")
        );
        for part in [
            "systemd-run --uid=nobody ",
            &format!(" --working-directory={} ", folder.display()),
            &format!(" {program} {line}"),
        ] {
            assert!(systemd.contains(part), "{systemd}");
        }
        let error = foreign.run(&runuser, &[]);
        assert!(error.starts_with(&named), "{line}: {error}");
        let owned_by_root = fs::metadata(folder.join("symbolon.db")).unwrap().uid() == 0;
        assert!(!owned_by_root, "{line}");
    }
    assert!(folder.join("copy.db").exists());
}

#[test]
#[ignore = "needs root, and runuser(1) of util-linux"]
fn root_is_given_arguments_in_quotes_and_the_sqlite_url_of_the_environment() {
    let foreign = Foreign::new(NOBODY);
    let folder = foreign.folder.path().canonicalize().unwrap();
    let url = "sqlite://it's $HOME.db";
    let file = folder.join("it's $HOME.db");
    let named = format!("symbolon: database {}\n", file.display());
    let mut migrate = foreign.command("migrate --database-url");
    let advice = foreign.advice(migrate.arg(url));
    // systemd replaces variables in arguments, too.
    assert!(advice[1].contains("s $$HOME.db'"), "{advice:?}");
    assert_eq!(foreign.run(&advice[0], &[]), named);
    assert!(file.exists());
    let environment = [("DATABASE_URL", url)];
    let mut list = foreign.command("user list");
    let advice = foreign.advice(list.envs(environment));
    let set = "'--setenv=DATABASE_URL=sqlite:///";
    assert!(advice[1].contains(set), "{advice:?}");
    assert_eq!(foreign.run(&advice[0], &environment), named);
    // The other URL has a password in it.
    let mut list = foreign.command("user list --database-url");
    list.arg(url).env("DATABASE_URL", "postgres://u:hidden@h/d");
    let advice = foreign.advice(&mut list);
    assert!(!advice.concat().contains("hidden"), "{advice:?}");
}

#[test]
#[ignore = "needs root, and setpriv(1) of util-linux"]
fn an_owner_of_a_sqlite_database_without_a_name_is_given_by_number() {
    let foreign = Foreign::new(54321);
    let advice = foreign.advice(&mut foreign.command("migrate"));
    let start = "setpriv --reuid=54321 --regid=54321 --clear-groups -- ";
    assert!(advice[0].starts_with(start), "{advice:?}");
    assert!(advice[1].contains("--uid=54321 "), "{advice:?}");
    let error = foreign.run(&advice[0], &[]);
    assert!(error.starts_with("symbolon: database "), "{error}");
}

/// A folder as systemd makes it for a unit with `DynamicUser=` and `StateDirectory=`.
struct StateDirectory(String);

impl StateDirectory {
    fn new() -> Self {
        let name = format!("symbolon-test-{}", std::process::id());
        let directory = Self(name);
        fs::create_dir_all(directory.path()).unwrap();
        chown(directory.path(), Some(54321), Some(54321)).unwrap();
        directory
    }

    fn path(&self) -> std::path::PathBuf {
        Path::new("/var/lib/private").join(&self.0)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path());
    }
}

#[test]
#[ignore = "needs root"]
fn root_is_given_the_unit_settings_of_a_sqlite_database_of_a_dynamic_user() {
    let foreign = Foreign::new(NOBODY);
    let state = StateDirectory::new();
    let name = &state.0;
    let link = foreign.folder.path().join("state");
    std::os::unix::fs::symlink(state.path(), &link).unwrap();
    let mut migrate = foreign.command("migrate --database-url");
    migrate.arg(format!("sqlite://{}/symbolon.db", link.display()));
    let advice = foreign.advice(&mut migrate);
    let [systemd] = advice.try_into().unwrap();
    for part in [
        "systemd-run ".to_owned(),
        " --property=DynamicUser=yes ".to_owned(),
        format!(" --property=User={name} "),
        format!(" --property=StateDirectory={name} "),
        format!(" --working-directory=/var/lib/{name} "),
        format!(
            " --setenv=DATABASE_URL=sqlite://{}/symbolon.db ",
            link.display()
        ),
        " migrate --database-url ".to_owned(),
    ] {
        assert!(systemd.contains(&part), "{systemd}");
    }
}

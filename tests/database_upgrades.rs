//! Upgrades of existing databases: those of earlier versions in `tests/fixtures`, and those that have
//! only the first migrations. After the migration, also an interrupted one, the present code gives the
//! answers of the earlier version.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use migration::{Migrator, MigratorTrait};
use reqwest::Method;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, EntityTrait};
use serde_json::{Value, json};
use symbolon::Config;
use tempfile::TempDir;

use crate::migrations::schema;
use crate::server_start_and_stop::refusal;
use crate::support::{
    Answer, DATABASE_FILE, TestApp, database_in, database_url, finish, on_postgres,
    shared_postgres, start_of_time, succeed, symbolon,
};

const SIGN_IN: &str = "mutation { createToken { token expiresAt } }";

/// The system calls before which `symbolon migrate` is killed: those that change the files of SQLite, or
/// those that communicate with PostgreSQL.
const SQLITE_CALLS: &str = "openat,pwrite64,ftruncate,fsync,fdatasync,unlink";
const POSTGRES_CALLS: &str = "sendto,recvfrom";

/// The number of kill points of one database. `SYMBOLON_TEST_KILLS` overrides it.
const FIXTURE_KILLS: usize = 12;
const PARTIAL_KILLS: usize = 4;

/// A database that an earlier version wrote, and the expected answers.
struct Fixture {
    folder: PathBuf,
    expected: Value,
}

impl Fixture {
    /// Returns all fixtures, oldest first.
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let entries = fs::read_dir(folder).unwrap();
        let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        assert!(!folders.is_empty());
        let kind = if on_postgres() { "postgres" } else { "sqlite" };
        let fixture = |folder: PathBuf| {
            let expected = fs::read(folder.join(format!("{kind}.json"))).unwrap();
            Self {
                expected: serde_json::from_slice(&expected).unwrap(),
                folder,
            }
        };
        folders.into_iter().map(fixture).collect()
    }

    fn text(&self, name: &str) -> &str {
        self.expected[name].as_str().unwrap()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.expected[name].as_array().unwrap()
    }

    /// Requests everything that the fixture records from the present code.
    async fn check(&self, folder: TempDir) {
        let written_at: DateTime<Utc> = self.text("written_at").parse().unwrap();
        let configure = |config: &mut Config| {
            config.secret_key = Some(self.text("secret_key").to_owned().into());
            config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            // One document reads the records. It lists the tokens of 100 users.
            config.limits.complexity = 200_000;
        };
        let app = TestApp::on_existing_database(folder, written_at, configure).await;
        // The requests below change the records.
        self.check_records(&app).await;
        for token in self.list("tokens") {
            check_token(&app, token).await;
        }
        let mut throttled = Vec::new();
        for sign_in in self.list("sign_ins") {
            let answer = attempt(&app, sign_in).await;
            if sign_in["error"].is_null() {
                check_signed_in(&app, sign_in, &answer).await;
            } else {
                let (code, reason) = answer.error();
                assert_eq!(json!([code, reason]), sign_in["error"], "{sign_in}");
            }
            if sign_in["error"][0] == "RATE_LIMITED" {
                throttled.push(sign_in);
            }
        }
        assert!(!throttled.is_empty());
        app.advance(TimeDelta::hours(2));
        for sign_in in throttled {
            let answer = attempt(&app, sign_in).await;
            check_signed_in(&app, sign_in, &answer).await;
        }
        // The longest lifetime of a session token.
        app.advance(TimeDelta::days(30));
        let answer = app.me(self.text("admin_token")).await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
        app.stop().await;
    }

    /// Checks the users and their audit trail.
    async fn check_records(&self, app: &TestApp) {
        for (name, pointer) in [
            ("accounts", "/data/users/nodes"),
            ("audit", "/data/auditEvents/nodes"),
        ] {
            let recorded = &self.expected[name];
            let query = recorded["query"].as_str().unwrap();
            let answer = app.graphql(query).bearer(self.text("admin_token"));
            let answer = answer.send().await;
            let nodes = recorded["nodes"].as_array().unwrap();
            let found = answer.at(pointer).as_array();
            let found = found.unwrap_or_else(|| panic!("{answer:?}"));
            assert!(!nodes.is_empty());
            for (found, recorded) in found.iter().zip(nodes) {
                assert_eq!(found, recorded, "{name}");
            }
            assert_eq!(found.len(), nodes.len(), "{name}");
        }
    }
}

async fn check_token(app: &TestApp, recorded: &Value) {
    let token = recorded["token"].as_str().unwrap();
    let answer = app.me(token).await;
    let auth = app.request(Method::GET, "/auth").bearer_auth(token);
    let auth = Answer::of(auth).await;
    if recorded["error"].is_null() {
        assert_eq!(answer.at("/data/me/username"), &recorded["username"]);
        assert_eq!(auth.header("x-auth-scopes"), recorded["scopes"]);
    } else {
        let (code, reason) = answer.error();
        assert_eq!(json!([code, reason]), recorded["error"], "{recorded}");
        assert_eq!(auth.status, 401);
    }
}

async fn attempt(app: &TestApp, recorded: &Value) -> Answer {
    let text = |name: &str| recorded[name].as_str().unwrap();
    let mut operation = app.graphql(SIGN_IN);
    if let Some(address) = recorded["address"].as_str() {
        operation = operation.header("x-forwarded-for", address.as_bytes());
    }
    operation
        .basic(text("username"), text("password"))
        .send()
        .await
}

/// Checks that the response has the recorded session, or a new one if none is recorded, and that the
/// session is live.
async fn check_signed_in(app: &TestApp, recorded: &Value, answer: &Answer) {
    let session = answer.at("/data/createToken");
    let token = session["token"].as_str();
    let token = token.unwrap_or_else(|| panic!("{recorded}: {answer:?}"));
    if !recorded["session"].is_null() {
        assert_eq!(session, &recorded["session"], "{recorded}");
    }
    let whose = app.me(token).await;
    let username = whose.at("/data/me/username").as_str().unwrap();
    let recorded = recorded["username"].as_str().unwrap();
    assert_eq!(username.to_lowercase(), recorded.to_lowercase());
}

/// A database that lacks some migrations.
enum Start {
    Fixture(Fixture),
    /// A new database with only this many migrations.
    Partial(u32),
}

impl Start {
    /// Returns every fixture and every prefix of the list of migrations.
    fn all() -> Vec<Self> {
        let fixtures = Fixture::all().into_iter().map(Self::Fixture);
        let count = u32::try_from(Migrator::migrations().len()).unwrap();
        fixtures.chain((0..count).map(Self::Partial)).collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Fixture(fixture) => {
                let name = fixture.folder.file_name().unwrap();
                name.to_str().unwrap().to_owned()
            }
            Self::Partial(count) => format!("new, {count} of {}", Migrator::migrations().len()),
        }
    }

    fn kills(&self) -> usize {
        match self {
            Self::Fixture(_) => FIXTURE_KILLS,
            Self::Partial(_) => PARTIAL_KILLS,
        }
    }

    /// Creates the database of a new folder.
    async fn prepare(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE_FILE);
        match self {
            Self::Fixture(fixture) if on_postgres() => {
                let url = database_url(folder.path(), DATABASE_FILE);
                shared_postgres().load(&url, &fixture.folder.join("database.sql"));
            }
            Self::Fixture(fixture) => {
                fs::copy(fixture.folder.join("database.sqlite"), file).unwrap();
            }
            // The program creates the file.
            Self::Partial(0) => {}
            Self::Partial(count) => {
                if !on_postgres() {
                    File::create(file).unwrap();
                }
                let database = connect(folder.path()).await;
                Migrator::up(&database, Some(*count)).await.unwrap();
                database.close().await.unwrap();
            }
        }
        folder
    }

    /// Returns the command `symbolon migrate` on the database of `folder`, run by `program`.
    fn migrate(&self, folder: &Path, program: Option<Command>) -> Command {
        let plain = symbolon(folder);
        let mut command = program.unwrap_or_else(|| Command::new(plain.get_program()));
        command.current_dir(folder).env_clear().arg("migrate");
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env("DATABASE_URL", database_url(folder, DATABASE_FILE));
        if let Self::Fixture(fixture) = self {
            command.env("SYMBOLON_SECRET_KEY", fixture.text("secret_key"));
            command.env("SYMBOLON_SECRET_KEY_FILE", "");
        }
        command
    }

    /// Checks that the database of `folder` is complete and that its users can sign in.
    async fn check(&self, folder: TempDir, complete: &[String]) {
        assert_eq!(state(folder.path()).await, complete, "{}", self.name());
        if let Self::Fixture(fixture) = self {
            return fixture.check(folder).await;
        }
        let app = TestApp::on_existing_database(folder, start_of_time(), |_| {}).await;
        app.register("ada").await;
        let token = app.sign_in("ada").await;
        assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
        app.stop().await;
    }
}

async fn connect(folder: &Path) -> DatabaseConnection {
    let url = database_url(folder, DATABASE_FILE);
    Database::connect(url).await.unwrap()
}

/// Returns the schema of the database of `folder` and the names of its migrations. It reads a copy of an
/// SQLite file, so that the files of a killed process stay unchanged.
async fn state(folder: &Path) -> Vec<String> {
    let copy = tempfile::tempdir().unwrap();
    let database = if on_postgres() {
        connect(folder).await
    } else {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        if !copy.path().join(DATABASE_FILE).exists() {
            return Vec::new();
        }
        connect(copy.path()).await
    };
    let mut state = schema(&database).await;
    if state.iter().any(|line| line.contains("symbolon_migration")) {
        let applied = Migrator::get_applied_migrations_read_only(&database).await;
        let applied = applied.unwrap().into_iter();
        state.extend(applied.map(|migration| format!("applied {}", migration.name())));
    }
    database.close().await.unwrap();
    state
}

/// Returns the state of a new database.
async fn complete() -> Vec<String> {
    let start = Start::Partial(0);
    let folder = start.prepare().await;
    succeed(&mut start.migrate(folder.path(), None));
    let complete = state(folder.path()).await;
    assert!(complete.len() > Migrator::migrations().len());
    complete
}

fn calls() -> &'static str {
    if on_postgres() {
        POSTGRES_CALLS
    } else {
        SQLITE_CALLS
    }
}

/// The n-th call of one system call by one thread.
struct Point {
    call: String,
    number: usize,
}

/// Returns the strace command that runs a program in `folder`.
fn strace(folder: &Path, trace: &Path, kill: Option<&Point>) -> Command {
    let mut strace = Command::new("strace");
    // With --seccomp-bpf, strace counts injected calls wrongly.
    strace.args(["-f", "-qq", "-o"]).arg(trace);
    if !on_postgres() {
        let folder = folder.canonicalize().unwrap();
        for part in ["", "-journal", "-wal", "-shm"] {
            let file = folder.join(format!("{DATABASE_FILE}{part}"));
            strace.arg("-P").arg(file);
        }
    }
    strace.arg("-e").arg(format!("trace={}", calls()));
    if let Some(Point { call, number }) = kill {
        let inject = format!("inject={call}:signal=KILL:when={number}");
        strace.arg("-e").arg(inject);
    }
    strace.arg(env!("CARGO_BIN_EXE_symbolon"));
    strace
}

/// Returns the points of a complete run at which it can be killed, in order. strace counts the calls of
/// each kind in each thread, and kills the process at the first thread that reaches the count.
fn points(trace: &Path) -> Vec<Point> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let mut known = HashSet::new();
    let mut points = Vec::new();
    let trace = fs::read_to_string(trace).unwrap();
    for line in trace.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let call = rest.trim_start().split_once('(').map(|(call, _)| call);
        // The end of an interrupted call and the exit of a thread are not calls.
        let Some(call) = call.filter(|call| calls().split(',').any(|known| known == *call)) else {
            continue;
        };
        let number = counts.entry((thread, call)).or_default();
        *number += 1;
        if known.insert((call, *number)) {
            let (call, number) = (call.to_owned(), *number);
            points.push(Point { call, number });
        }
    }
    points
}

/// Returns at most `most` points, evenly spaced, with the first and the last.
fn spread(points: Vec<Point>, most: usize) -> Vec<Point> {
    let last = points.len().saturating_sub(1);
    let picked: HashSet<_> = (0..most)
        .map(|number| number * last / (most - 1).max(1))
        .collect();
    let numbered = points.into_iter().enumerate();
    numbered
        .filter(|(number, _)| picked.contains(number))
        .map(|(_, point)| point)
        .collect()
}

#[tokio::test]
async fn a_database_of_an_earlier_version_gives_the_same_answers() {
    let complete = complete().await;
    for start in Start::all() {
        let folder = start.prepare().await;
        succeed(&mut start.migrate(folder.path(), None));
        start.check(folder, &complete).await;
    }
}

/// Prints a table for `scripts/migration-kills`.
#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn a_migration_that_is_killed_is_completed_at_the_next_start() {
    let most = std::env::var("SYMBOLON_TEST_KILLS").ok();
    let most = most.map(|count| count.parse::<usize>().unwrap());
    let complete = complete().await;
    println!("| database | killed before | of | left as | then |");
    println!("| --- | --- | ---: | --- | --- |");
    for start in Start::all() {
        let name = start.name();
        let folder = start.prepare().await;
        let before = state(folder.path()).await;
        let trace = folder.path().join("trace");
        let program = strace(folder.path(), &trace, None);
        succeed(&mut start.migrate(folder.path(), Some(program)));
        let points = points(&trace);
        let all = points.len();
        let points = spread(points, most.unwrap_or(start.kills()));
        let (tried, mut killed) = (points.len(), 0);
        for point in points {
            let Point { call, number } = &point;
            let folder = start.prepare().await;
            let elsewhere = tempfile::tempdir().unwrap();
            let trace = elsewhere.path().join("trace");
            let program = strace(folder.path(), &trace, Some(&point));
            let status = start
                .migrate(folder.path(), Some(program))
                .stdout(Stdio::null())
                .status()
                .unwrap();
            let left = state(folder.path()).await;
            let left = if status.success() {
                // SQLite repeats reads and closes its connections in any order, so some calls do not
                // occur in each run.
                "not reached"
            } else if status.signal() == Some(9) && left == complete {
                killed += 1;
                "whole"
            } else if status.signal() == Some(9) && left == before {
                killed += 1;
                "before"
            } else {
                panic!("{name}, {call} {number}: {status}, {left:#?}");
            };
            succeed(&mut start.migrate(folder.path(), None));
            start.check(folder, &complete).await;
            println!("| {name} | {call} {number} | {all} | {left} | whole |");
        }
        assert!(killed > 0 && killed * 2 >= tried, "{name}: {killed}");
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

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, ..) = finish(symbolon(folder.path()).arg("migrate"));
    assert_eq!(code, Some(0));
    let database = database_in(folder.path()).await;
    let newer = sea_orm::Statement::from_string(
        sea_orm::ConnectionTrait::get_database_backend(&database),
        "INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)",
    );
    sea_orm::ConnectionTrait::execute_raw(&database, newer)
        .await
        .unwrap();
    database.close().await.unwrap();
    let error = refusal(symbolon(folder.path()).env("PORT", "0"));
    assert!(
        error.contains("newer version") && error.contains("m20990101_000001_wings"),
        "{error}"
    );
}

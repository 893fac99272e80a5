//! The start of the server, refusals to start, and shutdown.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sea_orm::ConnectionTrait;
use symbolon::{Config, StartError, Symbolon};

use crate::support::{PASSWORD, Server, eventually, finish, symbolon};

/// Runs the program and returns its refusal of one line.
pub fn refusal(command: &mut Command) -> String {
    let (code, output, error) = finish(command);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn is_empty(folder: &tempfile::TempDir) -> bool {
    fs::read_dir(folder.path()).unwrap().next().is_none()
}

#[test]
fn a_port_in_use_is_reported_and_no_file_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = refusal(symbolon(folder.path()).env("PORT", &port));
    assert!(error.contains(&port) && error.contains("in use"), "{error}");
    assert!(is_empty(&folder));
}

#[test]
fn a_database_that_cannot_be_created_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    for (url, expected_text) in [
        // A path that no user can write, not even root.
        (
            "sqlite:///proc/symbolon.db",
            "/proc/symbolon.db cannot be created",
        ),
        ("sqlite://missing/symbolon.db", "missing does not exist"),
        ("mysql://localhost/symbolon", "sqlite://FILE"),
        ("sqlite://", "sqlite://FILE"),
        ("sqlite::memory:", "sqlite://FILE"),
        ("sqlite://symbolon.db?mode=ro", "sqlite://FILE"),
        ("nonsense", "sqlite://FILE"),
    ] {
        let mut serve = symbolon(folder.path());
        let error = refusal(serve.env("PORT", "0").env("DATABASE_URL", url));
        assert!(error.contains(expected_text), "{error}");
        assert!(is_empty(&folder), "{url}");
    }
}

#[test]
fn concurrent_starts_agree_on_tables_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let folder = folder.path().to_owned();
            std::thread::spawn(move || finish(symbolon(&folder).arg("migrate")))
        })
        .collect();
    for start in starts {
        let (code, _, error) = start.join().unwrap();
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn listening_beyond_loopback_prints_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("HOST", "0.0.0.0");
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the warning is logged", async || {
        let log = server.log();
        (log.contains("WARN") && log.contains("TLS")).then_some(())
    }));
    let folder = tempfile::tempdir().unwrap();
    let quiet = Server::start(folder.path());
    assert_eq!(quiet.log(), "");
}

#[test]
fn an_invalid_log_level_is_reported_and_no_file_is_created() {
    let folder = tempfile::tempdir().unwrap();
    for value in ["symbolon=loud", "verbose", "WARNING", "info,loud"] {
        let mut serve = symbolon(folder.path());
        serve.env("PORT", "0").env("SYMBOLON_LOG", value);
        let error = refusal(&mut serve);
        assert!(error.starts_with("symbolon: "), "{error}");
        assert!(is_empty(&folder), "{value}");
    }
}

/// A sign-in whose body is incomplete.
struct PendingSignIn {
    stream: TcpStream,
}

const BODY: &str = r#"{"query":"mutation { createToken { token } }"}"#;

impl PendingSignIn {
    /// Sends the head and waits until the server asks for the body.
    fn start(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let credentials = STANDARD.encode(format!("ada:{PASSWORD}"));
        write!(
            stream,
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Authorization: Basic {credentials}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            BODY.len()
        )
        .unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream }
    }

    /// Sends the body and returns the response.
    fn end(mut self) -> String {
        self.stream.write_all(BODY.as_bytes()).unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

async fn with_ada() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let registered = server.registration("ada").send().await;
    assert_eq!(registered.at("/data/createUser/user/id"), "1");
    (folder, server)
}

#[tokio::test]
async fn a_signal_lets_running_requests_finish() {
    for signal in ["TERM", "INT"] {
        let (_folder, mut server) = with_ada().await;
        let pending = PendingSignIn::start(&server);
        server.process.signal(signal);
        let address = server.address().to_owned();
        eventually("the server accepts no connections", async || {
            TcpStream::connect(&address).err()
        })
        .await;
        let answer = pending.end();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("token"),
            "{answer}"
        );
        // Idle connections and the database are closed at once.
        assert!(server.process.wait(Duration::from_secs(8)).success());
    }
}

#[tokio::test]
async fn a_hanging_request_delays_the_shutdown_by_at_most_10_seconds() {
    let (_folder, mut server) = with_ada().await;
    let _held = PendingSignIn::start(&server);
    server.process.signal("TERM");
    assert!(server.process.wait(Duration::from_secs(25)).success());
}

mod sqlite {
    use super::*;

    #[test]
    fn the_server_prints_its_address_its_database_and_a_first_request() {
        for (explorer, first) in [("on", "open http://"), ("off", "curl http://")] {
            let folder = tempfile::tempdir().unwrap();
            let server = Server::on_sqlite_configured(folder.path(), |command| {
                command.env("SYMBOLON_EXPLORER", explorer);
            });
            let database = folder.path().canonicalize().unwrap().join("symbolon.db");
            let output = &server.startup_output;
            let (base, database) = (&server.base, database.display());
            assert!(output.contains(&format!("listens on {base}\n")), "{output}");
            assert!(
                output.contains(&format!("data       {database}\n")),
                "{output}"
            );
            assert!(output.contains(&format!("try first  {first}")), "{output}");
        }
    }

    #[tokio::test]
    async fn the_write_ahead_log_is_removed_at_shutdown() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        let url = format!("sqlite://{}", folder.path().join("symbolon.db").display());
        let database = sea_orm::Database::connect(url).await.unwrap();
        let pragma =
            sea_orm::Statement::from_string(database.get_database_backend(), "PRAGMA journal_mode");
        let mode = database.query_one_raw(pragma).await.unwrap().unwrap();
        assert_eq!(mode.try_get_by_index::<String>(0).unwrap(), "wal");
        database.close().await.unwrap();
        server.process.signal("TERM");
        assert!(server.process.wait(Duration::from_secs(10)).success());
        assert!(!folder.path().join("symbolon.db-wal").exists());
    }
}

#[tokio::test]
async fn the_source_of_a_start_error_is_its_cause() {
    // Linux permits no files there, also to root.
    let config = Config::new("sqlite:///proc/symbolon.db");
    let error = Symbolon::open(config).await.unwrap_err();
    assert!(matches!(error, StartError::Database(_)), "{error:?}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<std::io::Error>(), "{source:?}");
    assert!(error.to_string().contains(&source.to_string()), "{error}");
}

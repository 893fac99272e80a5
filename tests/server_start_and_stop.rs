//! The start of the server, refusals to start, logs and shutdown.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    Answer, DATABASE_PASSWORD, PASSWORD, Server, common_key, database_in, eventually, finish,
    on_postgres, symbolon, unconfigured_symbolon,
};

/// Runs the program and returns its refusal of one line.
fn refusal(command: &mut Command) -> String {
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

#[test]
fn settings_out_of_range_are_reported_and_no_file_is_created() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", "70000"),
        ("HOST", "nowhere"),
        ("SYMBOLON_TOKEN_LIFETIME", "119"),
        ("SYMBOLON_TOKEN_LIFETIME", "2592001"),
        ("SYMBOLON_ARGON2_MEMORY", "1"),
        ("SYMBOLON_ARGON2_MEMORY", "262145"),
        ("SYMBOLON_ARGON2_ITERATIONS", "17"),
        ("SYMBOLON_HASH_THREADS", "0"),
        ("SYMBOLON_LOG", "symbolon=loud"),
        ("SYMBOLON_LOG", "verbose"),
        ("SYMBOLON_LOG", "WARNING"),
        ("SYMBOLON_LOG", "info,loud"),
    ] {
        let mut serve = symbolon(folder.path());
        serve.env("PORT", "0").env(name, value);
        let (code, _, error) = finish(&mut serve);
        assert!(matches!(code, Some(1 | 2)), "{name}={value}");
        let first = error.lines().next().unwrap();
        assert!(
            first.starts_with("error: ") || first.starts_with("symbolon: "),
            "{error}"
        );
        assert!(is_empty(&folder), "{name}={value}");
    }
}

#[test]
fn the_help_lists_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (code, help, _) = finish(symbolon(folder.path()).arg("--help"));
    assert_eq!(code, Some(0));
    for word in [
        "serve",
        "migrate",
        "schema",
        "DATABASE_URL",
        "HOST",
        "PORT",
        "SYMBOLON_SECRET_KEY",
        "SYMBOLON_SECRET_KEY_FILE",
        "SYMBOLON_TOKEN_LIFETIME",
        "SYMBOLON_ARGON2_MEMORY",
        "SYMBOLON_HASH_THREADS",
        "SYMBOLON_LOG",
    ] {
        assert!(help.contains(word), "{word}");
    }
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

#[tokio::test]
async fn the_trace_log_contains_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_LOG", "trace");
    });
    let client = reqwest::Client::new();
    let url = format!("{}/graphql", server.base);
    let secret = "a secret that is nowhere else";
    let register = json!({
        "query": "mutation($p: String!) { createUser(input: {username: \"ada\", password: $p}) { user { id } } }",
        "variables": { "p": secret },
    });
    Answer::of(client.post(&url).json(&register)).await;
    let sign_in = client
        .post(format!("{}/tokens", server.base))
        .basic_auth("ada", Some(secret));
    let token = Answer::of(sign_in)
        .await
        .at("/token")
        .as_str()
        .unwrap()
        .to_owned();
    let me = json!({ "query": "{ me { id } }" });
    let answer = Answer::of(client.post(&url).bearer_auth(&token).json(&me)).await;
    assert_eq!(answer.at("/data/me/id"), "1");
    let wrong = client
        .post(format!("{}/tokens", server.base))
        .basic_auth("ada", Some(format!("{secret}!")));
    let wrong = Answer::of(wrong).await;
    assert_eq!(wrong.status, 401);
    let own_key = folder.path().join("symbolon.db.key");
    let key = if on_postgres() {
        common_key()
    } else {
        &own_key
    };
    let key = fs::read_to_string(key).unwrap();
    let is_refused =
        |line: &str| line.contains("DEBUG") && line.contains(wrong.header("x-request-id"));
    let log = server.log_when(|log| log.lines().any(is_refused));
    let credentials = STANDARD.encode(format!("ada:{secret}"));
    for secret in [
        secret,
        &token,
        key.trim(),
        &credentials,
        "$argon2id$",
        DATABASE_PASSWORD,
    ] {
        assert!(!log.contains(secret), "the log holds {secret:?}");
    }
}

/// The binary has no subscriptions, so it reads no WebSocket messages. `telemetry` caps the log of that
/// crate as well.
#[tokio::test]
async fn the_trace_log_contains_no_token_and_no_password() {
    for filter in [
        "trace",
        "trace,symbolon=trace,tungstenite=trace,hyper=trace,sqlx=trace,poem=trace,h2=trace",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::configured(folder.path(), |command| {
            command.env("SYMBOLON_LOG", filter);
        });
        server.register("ada").await;
        let session = server.sign_in("ada").await;
        let create = r#"mutation { createAccessToken(input: { name: "laptop" }) { token } }"#;
        let access = server.graphql(create).basic("ada", PASSWORD).send().await;
        let access = access.at("/data/createAccessToken/token").as_str();
        let access = access.unwrap().to_owned();
        let chosen = "another secret that is nowhere else";
        for token in [&session, &access] {
            let me = server.graphql("{ me { id } }").bearer(token).send().await;
            assert_eq!(me.at("/data/me/id"), "1");
            let auth = server.request(Method::GET, "/auth").bearer_auth(token);
            assert_eq!(Answer::of(auth).await.status, 200);
            // Client mistakes: a token in the query string and in the document.
            let path = format!("/graphql?query=%7B__typename%7D&token={token}");
            let asked = server.request(Method::GET, &path);
            Answer::of(asked).await;
            let find = json!({
                "query": format!("query($n: String) {{ a: user(username: \"{token}\") {{ id }} b: user(username: $n) {{ id }} }}"),
                "variables": { "n": token },
            });
            server.graphql_body(&find).bearer(&session).send().await;
            let socket = server.request(Method::GET, "/graphql").bearer_auth(token);
            let socket = socket
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header("sec-websocket-protocol", "graphql-transport-ws");
            Answer::of(socket).await;
        }
        let change = json!({
            "query": "mutation($c: String!, $n: String!) {
                changePassword(input: { currentPassword: $c, newPassword: $n }) { token { token } } }",
            "variables": { "c": PASSWORD, "n": chosen },
        });
        let changed = server.graphql_body(&change).bearer(&session).send().await;
        let renewed = changed.at("/data/changePassword/token/token").as_str();
        let renewed = renewed.unwrap().to_owned();
        let revoke = server
            .request(Method::DELETE, "/tokens")
            .bearer_auth(&renewed);
        let revoked = Answer::of(revoke).await;
        assert_eq!(revoked.status, 204);
        let id = revoked.header("x-request-id").to_owned();
        let log = server.log_when(|log| log.contains(&id));
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
        for secret in [session.as_str(), &access, &renewed, PASSWORD, chosen] {
            assert!(
                !log.contains(secret),
                "the log holds {secret:?} with {filter}"
            );
        }
        let credentials = STANDARD.encode(format!("ada:{PASSWORD}"));
        assert!(!log.contains(&credentials), "{filter}");
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn the_server_prints_its_address_its_database_and_a_first_request() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite(folder.path());
        let database = folder.path().canonicalize().unwrap().join("symbolon.db");
        assert!(
            server
                .startup_output
                .contains("listens on http://127.0.0.1:")
        );
        assert!(
            server.startup_output.contains(database.to_str().unwrap()),
            "{}",
            server.startup_output
        );
        assert!(server.startup_output.contains("try first"));
    }

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
}

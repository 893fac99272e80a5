//! No log contains a secret, even at the level trace.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use symbolon::Config;

use crate::postgres::on;
use crate::support::{
    Answer, Cli, DATABASE_PASSWORD, PASSWORD, Server, common_key, finish, finish_with, on_postgres,
    shared_postgres,
};

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

mod postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn the_database_password_is_neither_printed_nor_logged() {
        let (folder, url) = (tempfile::tempdir().unwrap(), shared_postgres().create());
        let mut outputs = Vec::new();
        for arguments in [&["--help"][..], &["user", "list", "--help"], &["migrate"]] {
            outputs.push(finish(on(&url, &folder).args(arguments)));
        }
        // An unreachable server, an unknown role, and an invalid option.
        let unreachable = url.replace("127.0.0.1:", "127.0.0.1:1");
        let nothing = format!("{url}-is-not-there");
        let senseless = format!("{url}?sslmode=perhaps");
        let misspelt = format!("{url}?ssl_mode=verify-full");
        let unknown = url.replace("postgres://", "oracle://");
        // Passwords that are not percent-encoded.
        let [mut slash, mut question, mut hash] = ["1/", "abc?", "abc#"].map(|start| {
            let password = format!(":{DATABASE_PASSWORD}@");
            url.replace(&password, &format!(":{start}{DATABASE_PASSWORD}@"))
        });
        for url in [&mut slash, &mut question, &mut hash] {
            url.push_str("?sslmode=prefer");
        }
        for url in [
            unreachable,
            nothing,
            senseless,
            misspelt,
            unknown,
            slash,
            question,
            hash,
        ] {
            let (code, output, error) = finish(on(&url, &folder).arg("migrate"));
            assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
            outputs.push((code, output, error));
        }
        for (_, output, error) in &outputs {
            assert!(!output.contains(DATABASE_PASSWORD), "{output}");
            assert!(!error.contains(DATABASE_PASSWORD), "{error}");
        }
        assert!(
            outputs[2].1.contains("postgres://symbolon@127.0.0.1:"),
            "{outputs:?}"
        );
        let mut config = Config::default();
        config.database_url = url.into();
        assert!(!format!("{config:?}").contains(DATABASE_PASSWORD));
    }
}

#[test]
fn passwords_are_neither_read_from_the_command_line_nor_printed_nor_logged() {
    let cli = Cli::with_users(&["ada"]);
    for line in [
        "user add bob --password correct-horse",
        "user add bob correct-horse",
        "user set-password ada correct-horse",
        "user set-password ada --password correct-horse",
    ] {
        let (code, ..) = finish(&mut cli.command(line));
        assert_eq!(code, Some(2), "{line}");
    }
    for (line, event) in [
        ("user add bob", "REGISTERED"),
        ("user set-password ada --json", "PASSWORD_CHANGED"),
    ] {
        let mut command = cli.command(line);
        command.env("SYMBOLON_LOG", "trace");
        let (code, output, log) = finish_with(&mut command, "a secret that is nowhere else\n");
        assert_eq!(code, Some(0));
        assert!(log.contains(event), "{log}");
        for secret in ["a secret that", "$argon2id$"] {
            assert!(!output.contains(secret) && !log.contains(secret), "{line}");
        }
    }
}

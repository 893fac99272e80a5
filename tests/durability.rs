//! What was acknowledged stays, and what is stored gives nothing away.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::{Answer, Server};

async fn register(client: &reqwest::Client, server: &Server, name: &str) {
    let query = format!(
        r#"mutation {{ createUser(input: {{username: "{name}", password: "12345678"}}) {{ user {{ id }} }} }}"#
    );
    let url = format!("{}/graphql", server.base);
    let answer = Answer::of(client.post(url).json(&json!({ "query": query }))).await;
    assert!(
        answer.at("/data/createUser/user/id").is_string(),
        "{answer:?}"
    );
}

async fn sign_in(client: &reqwest::Client, server: &Server, name: &str) -> String {
    let url = format!("{}/tokens", server.base);
    let answer = Answer::of(client.post(url).basic_auth(name, Some("12345678"))).await;
    let token = answer.at("/token").as_str();
    token.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// The status that deleting the token would have, without deleting it: who it speaks for.
async fn whose(client: &reqwest::Client, server: &Server, token: &str) -> Answer {
    let url = format!("{}/graphql", server.base);
    let me = json!({ "query": "{ me { username } }" });
    Answer::of(client.post(url).bearer_auth(token).json(&me)).await
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::start(folder.path());
    let mut alive = Vec::new();
    for round in 0..5 {
        let name = format!("user{round}");
        register(&client, &server, &name).await;
        let revoked = sign_in(&client, &server, &name).await;
        let url = format!("{}/tokens", server.base);
        let ended = Answer::of(client.delete(url).bearer_auth(&revoked)).await;
        assert_eq!(ended.status, 204);
        // More work is under way when the process is killed.
        let racing = (0..8).map(|n| {
            let (client, url) = (client.clone(), format!("{}/graphql", server.base));
            let query = format!(
                r#"mutation {{ createUser(input: {{username: "r{round}-{n}", password: "12345678"}}) {{ user {{ id }} }} }}"#
            );
            tokio::spawn(async move {
                let request = client.post(url).json(&json!({ "query": query }));
                request.send().await.is_ok_and(|answer| answer.status() == 200)
            })
        });
        let racing: Vec<_> = racing.collect();
        let dead_name = format!("dead{round}");
        register(&client, &server, &dead_name).await;
        alive.push((
            dead_name.clone(),
            sign_in(&client, &server, &dead_name).await,
        ));
        server.process.signal("KILL");
        assert!(!server.process.wait(Duration::from_secs(10)).success());
        let acknowledged = futures_util::future::join_all(racing).await;
        server = Server::start(folder.path());
        for (n, acknowledged) in acknowledged.into_iter().enumerate() {
            if acknowledged.unwrap() {
                sign_in(&client, &server, &format!("r{round}-{n}")).await;
            }
        }
        let answer = whose(&client, &server, &revoked).await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
        for (name, token) in &alive {
            let answer = whose(&client, &server, token).await;
            assert_eq!(answer.at("/data/me/username"), name.as_str());
            assert_eq!(&sign_in(&client, &server, name).await, token);
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn files(folder: &Path) -> Vec<u8> {
    ["symbolon.db", "symbolon.db-wal"]
        .iter()
        .flat_map(|name| fs::read(folder.join(name)).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn the_database_files_hold_no_token_and_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::start(folder.path());
    register(&client, &server, "ada").await;
    let token = sign_in(&client, &server, "ada").await;
    let bytes = STANDARD.decode(&token).unwrap();
    let key = fs::read_to_string(folder.path().join("symbolon.db.key")).unwrap();
    let key_bytes = STANDARD.decode(key.trim()).unwrap();
    for stopped in [false, true] {
        if stopped {
            server.process.signal("TERM");
            assert!(server.process.wait(Duration::from_secs(10)).success());
        }
        let files = files(folder.path());
        // The search itself works.
        assert!(contains(&files, b"ada") && contains(&files, b"$argon2id$"));
        for secret in [
            token.as_bytes(),
            &bytes,
            b"12345678",
            key.trim().as_bytes(),
            &key_bytes,
        ] {
            assert!(!contains(&files, secret));
        }
    }
}

#[tokio::test]
async fn the_journal_is_a_wal_that_a_stop_leaves_behind_empty() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::start(folder.path());
    register(&client, &server, "ada").await;
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

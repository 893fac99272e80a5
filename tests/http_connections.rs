//! HTTP connections: several requests, half-closed connections, and mutations of clients that do not wait.

use std::io::Write;

use sea_orm::EntityTrait;
use serde_json::json;

use crate::http_limits::configured;
use crate::support::raw_http::{HEAD, TYPENAME, connect, read_until, rest, with_length};
use crate::support::{Answer, PASSWORD, database_in, eventually};

/// Argon2 parameters of a slow hash: 64 MiB, eight iterations.
const COSTLY: [(&str, &str); 2] = [
    ("SYMBOLON_ARGON2_MEMORY", "65536"),
    ("SYMBOLON_ARGON2_ITERATIONS", "8"),
];

#[test]
fn a_connection_serves_several_requests_in_order() {
    let (_folder, server) = configured(&[]);
    let mut stream = connect(&server);
    for _ in 0..3 {
        write!(
            stream,
            "{HEAD}Content-Length: {}\r\n\r\n{TYPENAME}",
            TYPENAME.len()
        )
        .unwrap();
        let answer = read_until(&mut stream, r#"{"data":{"__typename":"Query"}}"#);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

fn registration(username: &str) -> String {
    with_length(
        &json!({
            "query": "mutation($n: String!, $p: String!) { createUser(input: {username: $n, password: $p}) { user { id } } }",
            "variables": { "n": username, "p": PASSWORD },
        })
        .to_string(),
    )
}

#[tokio::test]
async fn a_mutation_completes_although_its_client_disconnects() {
    let (_folder, server) = configured(&COSTLY);
    let mut stream = connect(&server);
    stream.write_all(registration("ada").as_bytes()).unwrap();
    drop(stream);
    eventually("the user exists", async || {
        let answer = Answer::of(server.post_tokens("ada")).await;
        answer.at("/token").is_string().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_half_closed_connection_receives_its_response() {
    let (_folder, server) = configured(&COSTLY);
    let mut stream = connect(&server);
    stream.write_all(registration("ada").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#"{"user":{"id":"1"}}"#), "{answer}");
}

#[tokio::test]
async fn a_request_timeout_does_not_cancel_the_mutation() {
    // The largest permitted parameters: 256 MiB, 16 iterations.
    let (folder, server) = configured(&[
        ("SYMBOLON_REQUEST_TIMEOUT", "1"),
        ("SYMBOLON_ARGON2_MEMORY", "262144"),
        ("SYMBOLON_ARGON2_ITERATIONS", "16"),
    ]);
    let answer = server.registration("ada").send().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.body.get("data"), None);
    let database = database_in(folder.path()).await;
    let user = entity::user::Entity::find_by_id(1);
    let made = eventually("the user exists", async || {
        user.clone().one(&database).await.unwrap()
    });
    assert_eq!(made.await.username, "ada");
    database.close().await.unwrap();
}

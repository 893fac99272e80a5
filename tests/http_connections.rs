//! HTTP connections: several requests, and half-closed connections.

use std::io::Write;

use serde_json::json;

use crate::support::raw_http::{HEAD, TYPENAME, connect, read_until, rest, with_length};
use crate::support::{PASSWORD, server_with};

/// Argon2 parameters of a slow hash: 64 MiB, eight iterations.
pub const COSTLY: [(&str, &str); 2] = [
    ("SYMBOLON_ARGON2_MEMORY", "65536"),
    ("SYMBOLON_ARGON2_ITERATIONS", "8"),
];

#[test]
fn a_connection_serves_several_requests_in_order() {
    let (_folder, server) = server_with(&[]);
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

pub fn registration(username: &str) -> String {
    with_length(
        &json!({
            "query": "mutation($n: String!, $p: String!) { createUser(input: {username: $n, password: $p}) { user { id } } }",
            "variables": { "n": username, "p": PASSWORD },
        })
        .to_string(),
    )
}

#[tokio::test]
async fn a_half_closed_connection_receives_its_response() {
    let (_folder, server) = server_with(&COSTLY);
    let mut stream = connect(&server);
    stream.write_all(registration("ada").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#"{"user":{"id":"1"}}"#), "{answer}");
}

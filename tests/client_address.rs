//! The address of a client: the peer, or the `X-Forwarded-For` of a trusted proxy.

use reqwest::Method;
use reqwest::header::HeaderValue;

use crate::support::{Answer, Server, server_with};

/// Returns the client address that the log records for a request with these `X-Forwarded-For` headers.
async fn client(server: &Server, forwarded: &[&[u8]]) -> String {
    let request = server.request(Method::GET, "/healthz");
    let request = forwarded.iter().fold(request, |request, line| {
        let line = HeaderValue::from_bytes(line).unwrap();
        request.header("x-forwarded-for", line)
    });
    let answer = Answer::of(request).await;
    let line = server.logged(answer.header("x-request-id"));
    line["client"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_client_address_is_the_last_hop_that_is_not_a_trusted_proxy() {
    let (_folder, server) = server_with(&[
        ("SYMBOLON_LOG_FORMAT", "json"),
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.0/8,2001:db8::7"),
    ]);
    for (forwarded, expected) in [
        (&[][..], "127.0.0.1"),
        (&["203.0.113.7"], "203.0.113.7"),
        // The client can invent the entries before the last one.
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7, 127.0.0.9"], "203.0.113.7"),
        (&["198.51.100.1", "203.0.113.7", "127.0.0.9"], "203.0.113.7"),
        (&["203.0.113.7, 2001:db8::7"], "203.0.113.7"),
        (&["2001:db8::8,2001:db8::7"], "2001:db8::8"),
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, nonsense"], "127.0.0.1"),
        (&["203.0.113.7, nonsense, 127.0.0.9"], "127.0.0.9"),
        (&["127.0.0.8, 127.0.0.9"], "127.0.0.8"),
    ] {
        let lines: Vec<_> = forwarded.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client(&server, &lines).await, expected, "{forwarded:?}");
    }
}

#[tokio::test]
async fn the_client_address_is_the_peer_without_a_trusted_proxy() {
    let (_folder, server) = server_with(&[("SYMBOLON_LOG_FORMAT", "json")]);
    for forwarded in [
        &[][..],
        &[&b"203.0.113.7"[..]],
        &[b"203.0.113.7, 127.0.0.1"],
    ] {
        assert_eq!(client(&server, forwarded).await, "127.0.0.1");
    }
}

#[tokio::test]
async fn a_forwarded_address_is_parsed_from_the_end_of_the_header() {
    let (_folder, server) = server_with(&[
        ("SYMBOLON_LOG_FORMAT", "json"),
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8"),
    ]);
    for (lines, expected) in [
        (&[&b"\xff, 203.0.113.9"[..]][..], "203.0.113.9"),
        (&[b"\xff", b"203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (&[b"\", 203.0.113.9"], "203.0.113.9"),
        (&[b"198.51.100.1, 203.0.113.7:5123"], "203.0.113.7"),
        (&[b"[2001:db8::7]:443"], "2001:db8::7"),
        (&[b"\"[2001:db8::7]:443\""], "2001:db8::7"),
        (&[b"203.0.113.7, , ,"], "203.0.113.7"),
        (&[b"203.0.113.7", b""], "203.0.113.7"),
        // The client address is that of the proxy that wrote no address.
        (&[b"203.0.113.7, unknown, 10.1.1.1"], "10.1.1.1"),
        (&[b"203.0.113.7, _hidden, 10.1.1.1"], "10.1.1.1"),
    ] {
        assert_eq!(client(&server, lines).await, expected, "{lines:?}");
    }
    assert!(!server.log().contains("SYMBOLON_TRUSTED_PROXIES"));
}

#[tokio::test]
async fn a_forwarded_address_from_an_untrusted_peer_is_logged_once() {
    let (_folder, server) = server_with(&[("SYMBOLON_TRUSTED_PROXIES", "10.0.0.0/8")]);
    let warnings = |log: &str| log.matches("SYMBOLON_TRUSTED_PROXIES").count();
    Answer::of(server.request(Method::GET, "/healthz")).await;
    assert_eq!(warnings(&server.log()), 0);
    for _ in 0..3 {
        let request = server.request(Method::GET, "/healthz");
        Answer::of(request.header("x-forwarded-for", "203.0.113.7")).await;
    }
    let log = server.log_when(|log| warnings(log) > 0);
    let line = log
        .lines()
        .find(|line| line.contains("SYMBOLON_TRUSTED_PROXIES"));
    let line = line.unwrap();
    assert!(
        line.contains("WARN") && line.contains("peer=127.0.0.1"),
        "{line}"
    );
    Answer::of(server.request(Method::GET, "/healthz")).await;
    assert_eq!(warnings(&server.log()), 1);
}

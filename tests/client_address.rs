//! The address of a client: the peer, or the header of a trusted proxy.

use reqwest::Method;
use reqwest::header::HeaderValue;

use crate::support::{Answer, Server, server_with};

/// Returns the client address that the log records for a request with these `X-Forwarded-For` headers.
async fn client(server: &Server, forwarded: &[&[u8]]) -> String {
    let lines = forwarded.iter().map(|line| ("x-forwarded-for", *line));
    client_with(server, lines).await
}

/// Returns the client address that the log records for a request with these headers.
async fn client_with<'a>(
    server: &Server,
    headers: impl Iterator<Item = (&'static str, &'a [u8])>,
) -> String {
    let request = server.request(Method::GET, "/healthz");
    let request = headers.fold(request, |request, (name, line)| {
        request.header(name, HeaderValue::from_bytes(line).unwrap())
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

#[tokio::test]
async fn the_forwarded_header_is_read_if_it_is_configured() {
    let (_folder, server) = server_with(&[
        ("SYMBOLON_LOG_FORMAT", "json"),
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8"),
        ("SYMBOLON_CLIENT_ADDRESS_HEADER", "Forwarded"),
    ]);
    for (lines, expected) in [
        (&[&b"for=203.0.113.9"[..]][..], "203.0.113.9"),
        (&[b"For=203.0.113.9;proto=http;by=10.0.0.1"], "203.0.113.9"),
        (
            &[b"proto=http; FOR = \"203.0.113.9:5123\" ;host=x"],
            "203.0.113.9",
        ),
        (&[b"for=\"[2001:db8::7]:443\""], "2001:db8::7"),
        (
            &[b"for=198.51.100.1, for=203.0.113.9, for=10.1.1.1"],
            "203.0.113.9",
        ),
        (
            &[
                b"for=198.51.100.1",
                b"for=203.0.113.9;by=10.0.0.1",
                b"for=10.1.1.1",
            ],
            "203.0.113.9",
        ),
        // The client cannot change the elements after its own by a quotation mark or a backslash.
        (&[b"for=\", for=203.0.113.9"], "203.0.113.9"),
        (&[b"for=\"198.51.100.1\\\", for=203.0.113.9"], "203.0.113.9"),
        (&[b"\\, for=203.0.113.9"], "203.0.113.9"),
        (&[b"\xff\"", b"for=203.0.113.9, , "], "203.0.113.9"),
        // Separators in a quoted string separate nothing.
        (
            &[b"for=203.0.113.9;host=\"a, for=198.51.100.1; for=x\""],
            "203.0.113.9",
        ),
        (
            &[b"for=203.0.113.9;host=\"a\\\", for=198.51.100.1\""],
            "203.0.113.9",
        ),
        (&[b"for=203.0.113.9;host=\"a\\\\\""], "203.0.113.9"),
        // The client address is that of the proxy that wrote no address.
        (&[b"for=203.0.113.9, for=unknown, for=10.1.1.1"], "10.1.1.1"),
        (&[b"for=203.0.113.9, for=_hidden, for=10.1.1.1"], "10.1.1.1"),
        (&[b"for=203.0.113.9, proto=http, for=10.1.1.1"], "10.1.1.1"),
        (
            &[b"for=203.0.113.9, for=203.0.113.8;for=203.0.113.7, for=10.1.1.1"],
            "10.1.1.1",
        ),
        (&[b"203.0.113.9"], "127.0.0.1"),
        (&[b"for=\"203.0.113.9"], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        // The other header is ignored.
        let other = [("x-forwarded-for", &b"198.51.100.9"[..])];
        let lines_of_header = lines.iter().map(|line| ("forwarded", *line));
        let found = client_with(&server, lines_of_header.chain(other)).await;
        assert_eq!(found, expected, "{lines:?}");
    }
}

#[tokio::test]
async fn the_forwarded_header_is_ignored_by_default() {
    let (_folder, server) = server_with(&[
        ("SYMBOLON_LOG_FORMAT", "json"),
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let both = [
        ("forwarded", &b"for=198.51.100.9"[..]),
        ("x-forwarded-for", b"203.0.113.9"),
    ];
    assert_eq!(client_with(&server, both.into_iter()).await, "203.0.113.9");
    let one = both.into_iter().take(1);
    assert_eq!(client_with(&server, one).await, "127.0.0.1");
}

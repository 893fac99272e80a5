//! The `Host` header (RFC 9112, section 3.2).

use std::io::Write;

use crate::support::raw_http::{connect, rest};
use crate::support::server_with;

#[test]
fn a_request_needs_one_valid_host() {
    let (_folder, server) = server_with(&[]);
    let send = |version: &str, headers: &str, target: &str| {
        let mut stream = connect(&server);
        write!(
            stream,
            "GET {target} HTTP/{version}\r\n{headers}Connection: close\r\n\r\n"
        )
        .unwrap();
        rest(stream)
    };
    for host in [
        "localhost",
        "localhost:8000",
        "localhost:",
        "a_b.example.org:80",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:443",
        "xn--80ak6aa92e.example",
        "a%20b",
    ] {
        let answer = send("1.1", &format!("Host: {host}\r\n"), "/healthz");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    for headers in [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: :80\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: http://a\r\n",
        "Host: user@a\r\n",
        "Host: a:80:80\r\n",
        "Host: a:x\r\n",
        "Host: ::1\r\n",
        "Host: [::1\r\n",
        "Host: [::1]x\r\n",
        "Host: [x]\r\n",
        "Host: a, b\r\n",
        "Host: \u{e9}\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost:\r\n",
    ] {
        for target in [
            "/healthz",
            "/graphql",
            "/auth",
            "/",
            "/nothing",
            "http://a/healthz",
        ] {
            let answer = send("1.1", headers, target);
            assert!(
                answer.starts_with("HTTP/1.1 400 "),
                "{headers:?} {target}: {answer}"
            );
            assert!(
                answer.contains(r#""code":"BAD_REQUEST""#),
                "{headers:?}: {answer}"
            );
            assert!(answer.contains("Host header"), "{headers:?}: {answer}");
        }
    }
    // A proxy and Symbolon could take different hosts from this request.
    for (host, status) in [("a", 200), ("A", 200), ("b", 400), ("a:80", 400)] {
        let answer = send("1.1", &format!("Host: {host}\r\n"), "http://a/healthz");
        let start = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&start), "{host}: {answer}");
    }
    // HTTP/1.0 has no `Host`, but a client must not send several.
    let answer = send("1.0", "", "/healthz");
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let answer = send("1.0", "Host: a\r\nHost: b\r\n", "/healthz");
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
}

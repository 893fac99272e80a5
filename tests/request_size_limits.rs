//! Limits of the size of requests, and of the memory for incomplete bodies.

use std::io::Write;
use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::raw_http::{HEAD, TYPENAME, connect, read_until, rest, with_length};
use crate::support::{Answer, Server, eventually, server_with};

fn in_chunks(body: &str) -> String {
    let mut request = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    for chunk in body.as_bytes().chunks(10_000) {
        let text = std::str::from_utf8(chunk).unwrap();
        request.push_str(&format!("{:x}\r\n{text}\r\n", chunk.len()));
    }
    request + "0\r\n\r\n"
}

#[tokio::test]
async fn a_client_that_writes_a_large_body_first_receives_413() {
    let (_folder, server) = server_with(&[]);
    let body = format!("{}{TYPENAME}", " ".repeat(1024 * 1024));
    for request in [with_length(&body), in_chunks(&body)] {
        let socket = TcpSocket::new_v4().unwrap();
        // With a larger buffer the kernel takes the whole megabyte, and the write succeeds although the
        // server does not read.
        socket.set_send_buffer_size(16 * 1024).unwrap();
        let address = server.address().parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let exchange = async {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(Duration::from_secs(30), exchange).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains(r#""code":"PAYLOAD_TOO_LARGE""#), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}

#[test]
fn the_body_limit_is_exact_to_the_byte() {
    let (_folder, server) = server_with(&[("SYMBOLON_BODY_LIMIT", "1000")]);
    for (size, status) in [(1000, "HTTP/1.1 200 "), (1001, "HTTP/1.1 413 ")] {
        let body = format!("{TYPENAME}{}", " ".repeat(size - TYPENAME.len()));
        for request in [with_length(&body), in_chunks(&body)] {
            let mut stream = connect(&server);
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_until(&mut stream, "}}");
            assert!(answer.starts_with(status), "{size}: {answer}");
        }
    }
}

#[tokio::test]
async fn oversized_headers_and_invalid_http_are_refused() {
    let (_folder, server) = server_with(&[]);
    let long = format!("{HEAD}X-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    // A TLS ClientHello.
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    for (request, status) in [
        (long.as_bytes(), "HTTP/1.1 431 "),
        (b"How are you?\r\n\r\n", "HTTP/1.1 400 "),
        (tls, "HTTP/1.1 400 "),
        (
            b"POST /graphql HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
    ] {
        let mut stream = connect(&server);
        stream.write_all(request).unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with(status), "{answer}");
        let typename = server.graphql("{ __typename }").send().await;
        assert_eq!(typename.at("/data/__typename"), "Query");
    }
}

/// Returns the number of bytes in the queues of both ends of the connections to the server.
fn unread_bytes(server: &Server) -> u64 {
    let (_, port) = server.address().rsplit_once(':').unwrap();
    let end = format!(":{:04X}", port.parse::<u16>().unwrap());
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = connections.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_own = [fields[1], fields[2]].iter().any(|one| one.ends_with(&end));
        let (to_send, to_read) = fields[4].split_once(':').filter(|_| is_own)?;
        let bytes = |queue| u64::from_str_radix(queue, 16).unwrap();
        Some(bytes(to_send) + bytes(to_read))
    });
    queues.sum()
}

#[tokio::test]
async fn incomplete_bodies_share_a_memory_budget_and_small_requests_are_exempt() {
    let (_folder, server) = server_with(&[
        // Memory for 16 bodies.
        ("SYMBOLON_BODY_LIMIT", "4100000"),
        ("SYMBOLON_READ_TIMEOUT", "600"),
    ]);
    let large = format!("{}{TYPENAME}", " ".repeat(4_000_000));
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = tokio::net::TcpStream::connect(server.address())
            .await
            .unwrap();
        let request = with_length(&large);
        // Everything but the last byte.
        let incomplete = &request.as_bytes()[..request.len() - 1];
        stream.write_all(incomplete).await.unwrap();
        slow.push(stream);
    }
    let post = |body: String| {
        let request = server.request(Method::POST, "/graphql").body(body);
        Answer::of(request.header("content-type", "application/json"))
    };
    // The body needs more memory than is left. The server reads and drops its rest after the refusal.
    let another = format!("{}{TYPENAME}", " ".repeat(2_500_000));
    eventually("the server has read the requests", async || {
        (unread_bytes(&server) == 0).then_some(())
    })
    .await;
    let answer = post(another.clone()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
    assert_eq!(answer.header("retry-after"), "1");
    let small = format!("{TYPENAME}{}", " ".repeat(4096 - TYPENAME.len()));
    assert_eq!(post(small).await.at("/data/__typename"), "Query");
    // The slow requests are answered once they are complete.
    let mut first = slow.remove(0);
    first.write_all(b"}").await.unwrap();
    let mut answer = vec![0; 15];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    drop(slow);
    eventually("the memory budget has room", async || {
        let answer = post(another.clone()).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

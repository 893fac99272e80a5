//! Limits of connections: number, time, and the share of an address.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::raw_http::{allow_open_files, connect, read_until};
use crate::support::{Server, eventually, server_with};

#[test]
fn concurrent_connections_beyond_the_limit_wait() {
    allow_open_files(2_000);
    let (_folder, server) = server_with(&[
        ("SYMBOLON_THROTTLE", "off"),
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let address = server.address().parse().unwrap();
    // The kernel accepts the following connections.
    server.process.signal("STOP");
    let mut crowd: Vec<TcpStream> = (0..500)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap())
        .collect();
    for stream in &mut crowd {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
    }
    server.process.signal("CONT");
    for stream in &mut crowd {
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let answer = read_until(stream, "ok\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn a_connection_beyond_the_limit_waits_for_a_free_place() {
    let settings = [
        ("SYMBOLON_MAX_CONNECTIONS", "5"),
        // Each client has an address of its own.
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1"),
        // No connection ends by itself.
        ("SYMBOLON_READ_TIMEOUT", "600"),
    ];
    let (_folder, server) = server_with(&settings);
    let fetch = |stream: &mut TcpStream| {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
    };
    let mut open: Vec<TcpStream> = (0..5).map(|_| connect(&server)).collect();
    for stream in &mut open {
        fetch(stream);
        read_until(stream, "ok\n");
    }
    let mut sixth = connect(&server);
    fetch(&mut sixth);
    sixth
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let nothing = sixth.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    open.pop();
    sixth
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let answer = read_until(&mut sixth, "ok\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// Opens a connection from another address of this machine.
async fn connect_from(server: &Server, address: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let local = std::net::SocketAddr::new(address.parse().unwrap(), 0);
    socket.bind(local).unwrap();
    socket
        .connect(server.address().parse().unwrap())
        .await
        .unwrap()
}

/// Returns the response of `/healthz` on this connection, which stays open.
async fn health(stream: &mut tokio::net::TcpStream) -> String {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let complete = async {
        while !answer.ends_with(b"ok\n") && !answer.ends_with(b"}") {
            if stream.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
    };
    timeout(Duration::from_secs(5), complete).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_address_uses_at_most_its_share_of_the_connections() {
    let (_folder, server) = server_with(&[
        ("SYMBOLON_MAX_CONNECTIONS", "16"),
        // No connection ends by itself.
        ("SYMBOLON_READ_TIMEOUT", "600"),
    ]);
    let mut open = Vec::new();
    for number in 0..16 {
        let mut stream = connect_from(&server, "127.0.0.1").await;
        let answer = health(&mut stream).await;
        if number < 4 {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            open.push(stream);
        } else {
            assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
            assert!(answer.contains(r#""code":"RATE_LIMITED""#), "{answer}");
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        }
    }
    // Other addresses are served.
    for address in ["127.0.0.2", "127.0.0.3"] {
        let answer = health(&mut connect_from(&server, address).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let log = server.log();
    assert_eq!(log.matches("SYMBOLON_TRUSTED_PROXIES").count(), 1, "{log}");
    // A closed connection frees a place.
    open.pop();
    eventually("a place is free", async || {
        let answer = health(&mut connect_from(&server, "127.0.0.1").await).await;
        answer.starts_with("HTTP/1.1 200 OK\r\n").then_some(())
    })
    .await;
}

//! The time limits of clients that send or read slowly.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::support::raw_http::{HEAD, allow_open_files, connect, read_until};
use crate::support::{Answer, Server, server_with};

/// Sends `start`, and then `byte` once a second.
struct Slow {
    stream: tokio::net::TcpStream,
    byte: u8,
    since: Instant,
}

impl Slow {
    async fn start(server: &Server, start: String, byte: u8) -> Self {
        let since = Instant::now();
        let mut stream = tokio::net::TcpStream::connect(server.address())
            .await
            .unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        Self {
            stream,
            byte,
            since,
        }
    }

    /// Starts a head that never ends.
    async fn head(server: &Server) -> Self {
        Self::start(server, format!("{HEAD}X-Slow: "), b'x').await
    }

    /// Starts a body that takes most of a day.
    async fn body(server: &Server) -> Self {
        Self::start(server, format!("{HEAD}Content-Length: 60000\r\n\r\n"), b' ').await
    }

    /// Returns the response up to the close of the connection, and the time until then.
    async fn end(mut self) -> (String, Duration) {
        let (mut reader, mut writer) = self.stream.split();
        let dripping = async {
            let mut seconds = interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                if writer.write_all(&[self.byte]).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            // If the server closes while a byte is under way, the connection is reset.
            _ = reader.read_to_end(&mut answer) => {}
            () = dripping => {}
        }
        (String::from_utf8(answer).unwrap(), self.since.elapsed())
    }
}

fn assert_timed_out(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""code":"REQUEST_TIMEOUT""#), "{answer}");
}

#[tokio::test]
async fn a_slow_request_is_ended_after_the_configured_time() {
    let (_folder, server) = server_with(&[("SYMBOLON_READ_TIMEOUT", "3")]);
    let (head, body) = (Slow::head(&server).await, Slow::body(&server).await);
    let both = async { tokio::join!(head.end(), body.end()) };
    let (head, body) = timeout(Duration::from_secs(30), both).await.unwrap();
    assert_eq!(head.0, "");
    assert_timed_out(&body.0);
    for after in [head.1, body.1] {
        // The default is 10 s.
        let limits = Duration::from_secs(3)..Duration::from_secs(8);
        assert!(limits.contains(&after), "{after:?}");
    }
}

#[tokio::test]
async fn a_thousand_slow_clients_do_not_block_others() {
    // The server inherits the limit.
    allow_open_files(2_000);
    let (_folder, server) = server_with(&[
        ("SYMBOLON_THROTTLE", "off"),
        // Each client has an address of its own.
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let mut slow = JoinSet::new();
    for number in 0..500 {
        let (head, body) = (Slow::head(&server).await, Slow::body(&server).await);
        slow.spawn(async { (false, head.end().await) });
        slow.spawn(async { (true, body.end().await) });
        // A response shows that the accept queue of the kernel is not full.
        if number % 25 == 0 {
            let last = reqwest::Client::new().get(format!("{}/healthz", server.base));
            assert_eq!(Answer::of(last).await.status, 200);
        }
    }
    let shown_out = tokio::spawn(timeout(Duration::from_secs(30), slow.join_all()));
    let mut rounds = 0;
    while !shown_out.is_finished() {
        let name = format!("ada{rounds}");
        let one_by_one = async {
            server.register(&name).await;
            let token = server.sign_in(&name).await;
            let me = server.me(&token).await;
            assert_eq!(me.at("/data/me/username"), name.as_str());
            let typename = server.graphql("{ __typename }").send().await;
            assert_eq!(typename.at("/data/__typename"), "Query");
        };
        timeout(Duration::from_secs(5), one_by_one).await.unwrap();
        rounds += 1;
    }
    let ended = shown_out.await.unwrap().unwrap();
    assert_eq!(ended.len(), 1_000);
    for (is_body, (answer, after)) in ended {
        // The server waits for the read timeout before it closes the connection.
        assert!(after >= Duration::from_secs(10), "{after:?}: {answer}");
        if is_body {
            assert_timed_out(&answer);
        } else {
            assert_eq!(answer, "");
        }
    }
    assert!(rounds > 1, "no other client was served");
}

#[test]
fn a_client_that_stops_reading_is_disconnected() {
    let settings = [
        ("SYMBOLON_MAX_CONNECTIONS", "1"),
        ("SYMBOLON_READ_TIMEOUT", "1"),
    ];
    let (_folder, server) = server_with(&settings);
    let mut stalled = connect(&server);
    // Far more responses than the buffers of both ends hold.
    let page = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10_000);
    let mut asking = stalled.try_clone().unwrap();
    // The write ends when the server stops reading or closes the connection.
    std::thread::spawn(move || asking.write_all(page.as_bytes()));
    // The only permitted connection becomes free while the client still does not read.
    let mut next = connect(&server);
    next.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let answer = read_until(&mut next, "ok\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // The client had responses to read all the time.
    assert_eq!(stalled.read(&mut [0]).unwrap(), 1);
}

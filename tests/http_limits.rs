//! Limits of connections: time, number, size of requests, and memory.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::support::raw_http::{HEAD, TYPENAME, connect, read_until, rest, with_length};
use crate::support::{Answer, Server, eventually};

pub fn configured(settings: &[(&str, &str)]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.envs(settings.iter().copied());
    });
    (folder, server)
}

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
    let (_folder, server) = configured(&[("SYMBOLON_READ_TIMEOUT", "3")]);
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

/// Raises the limit of open files, which is 1,024 on some systems.
fn allow_open_files(required: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < required) {
        let maximum = limit.maximum;
        let current = Some(maximum.map_or(required, |maximum| maximum.min(required)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
    let current = getrlimit(Resource::Nofile).current;
    assert!(
        current.is_none_or(|current| current >= required),
        "{limit:?}"
    );
}

#[tokio::test]
async fn a_thousand_slow_clients_do_not_block_others() {
    // The server inherits the limit.
    allow_open_files(2_000);
    let (_folder, server) = configured(&[
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
fn concurrent_connections_beyond_the_limit_wait() {
    allow_open_files(2_000);
    let (_folder, server) = configured(&[
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
    let (_folder, server) = configured(&[]);
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
    let (_folder, server) = configured(&[("SYMBOLON_BODY_LIMIT", "1000")]);
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
    let (_folder, server) = configured(&[]);
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

#[test]
fn a_connection_beyond_the_limit_waits_for_a_free_place() {
    let settings = [
        ("SYMBOLON_MAX_CONNECTIONS", "5"),
        // Each client has an address of its own.
        ("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1"),
        // No connection ends by itself.
        ("SYMBOLON_READ_TIMEOUT", "600"),
    ];
    let (_folder, server) = configured(&settings);
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

#[test]
fn a_client_that_stops_reading_is_disconnected() {
    let settings = [
        ("SYMBOLON_MAX_CONNECTIONS", "1"),
        ("SYMBOLON_READ_TIMEOUT", "1"),
    ];
    let (_folder, server) = configured(&settings);
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
    let (_folder, server) = configured(&[
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
    let (_folder, server) = configured(&[
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

//! Limits of WebSocket connections: number, memory, time, messages and subscriptions.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use async_graphql::Subscription;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use poem::Route;
use reqwest::{Method, StatusCode};
use serde_json::json;
use symbolon::{Config, Mutation, Query, Symbolon};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, PASSWORD, Server, Socket, TestApp, eventually, unthrottled};
use crate::websocket_subscriptions::{app, closed};

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    async fn silent(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }

    async fn number(&self, of: Vec<i32>) -> impl Stream<Item = usize> {
        stream::iter([of.len()]).chain(stream::pending())
    }
}

pub fn routes(symbolon: &Symbolon) -> Route {
    let schema = symbolon.schema(Query, Mutation, Subscriptions);
    symbolon.routes(schema.finish())
}

/// Starts an app with 32 connections: 4 WebSocket connections for each address and 2 for each user.
async fn small_app() -> TestApp {
    let configure = |config: &mut Config| {
        config.http.max_connections = 32;
        // A test can act as several clients.
        config.http.trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().unwrap().into()];
    };
    TestApp::with_routes(configure, routes).await
}

/// Opens a WebSocket from a client with this address.
async fn open(app: &TestApp, address: &str) -> Result<Socket, StatusCode> {
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("x-forwarded-for", address),
    ];
    Socket::open(&app.base, &headers).await
}

const UPGRADE: [(&str, &str); 5] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("sec-websocket-protocol", "graphql-transport-ws"),
];

/// Returns the response to an upgrade with some headers replaced.
pub async fn upgrade(app: &TestApp, changed: &[(&'static str, &str)]) -> Answer {
    let mut request = app.request(Method::GET, "/graphql");
    for (name, value) in UPGRADE {
        let changed = changed.iter().find(|(changed, _)| *changed == name);
        request = request.header(name, changed.map_or(value, |(_, value)| value));
    }
    for (name, value) in changed {
        if !UPGRADE.iter().any(|(usual, _)| usual == name) {
            request = request.header(*name, *value);
        }
    }
    Answer::of(request).await
}

#[tokio::test]
async fn an_address_uses_at_most_its_share_of_the_websockets() {
    let app = small_app().await;
    for (addresses, other) in [
        (&["203.0.113.7"][..], "203.0.113.8"),
        (
            // One /64 network.
            &["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"],
            "2001:db8:0:1::1",
        ),
    ] {
        let mut sockets = Vec::new();
        for address in addresses.iter().cycle().take(4) {
            sockets.push(open(&app, address).await.ok().unwrap());
        }
        let last = *addresses.last().unwrap();
        let answer = upgrade(&app, &[("x-forwarded-for", last)]).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.at("/code"), "RATE_LIMITED");
        assert_eq!(answer.at("/retryAfter"), 1);
        assert_eq!(answer.header("retry-after"), "1");
        // Other clients have their own share, and requests of this client are answered.
        sockets.push(open(&app, other).await.ok().unwrap());
        let health = app.request(Method::GET, "/healthz");
        let health = Answer::of(health.header("x-forwarded-for", last)).await;
        assert_eq!(health.status, 200);
        // A closed WebSocket frees a place.
        sockets.swap_remove(0);
        eventually("a place is free", async || open(&app, last).await.ok()).await;
    }
}

#[tokio::test]
async fn a_user_uses_at_most_its_share_of_the_websockets() {
    let app = small_app().await;
    app.register("ada").await;
    app.register("bob").await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let begin = async |address: &str, token: &str| {
        let mut socket = open(&app, address).await.ok().unwrap();
        socket.initialise(Some(token)).await;
        socket
    };
    let accepted = json!({ "type": "connection_ack" });
    let mut sockets = Vec::new();
    for address in ["203.0.113.1", "203.0.113.2"] {
        let mut socket = begin(address, &ada).await;
        assert_eq!(socket.receive().await, accepted);
        sockets.push(socket);
    }
    let mut third = begin("203.0.113.3", &ada).await;
    assert_eq!(third.closed().await.0, 4429);
    assert_eq!(begin("203.0.113.3", &bob).await.receive().await, accepted);
    sockets.pop();
    eventually("a place is free", async || {
        let mut socket = begin("203.0.113.4", &ada).await;
        let message = socket.0.next().await.unwrap().unwrap();
        matches!(message, Message::Text(_)).then_some(())
    })
    .await;
}

/// Advances the timers by a minute.
async fn a_minute_passes() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_websocket_without_a_subscription_is_closed_after_a_minute() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    let mut idle = Socket::connect(&app.base, None).await;
    let mut busy = Socket::connect(&app.base, None).await;
    busy.subscribe("1", "subscription { silent }").await;
    // The task runs once it has answered a ping.
    busy.send(&json!({ "type": "ping" })).await;
    assert_eq!(busy.receive().await["type"], "pong");
    a_minute_passes().await;
    assert_eq!(idle.closed().await.0, 1000);
    busy.send(&json!({ "type": "complete", "id": "1" })).await;
    busy.send(&json!({ "type": "ping" })).await;
    assert_eq!(busy.receive().await["type"], "pong");
    a_minute_passes().await;
    assert_eq!(busy.closed().await.0, 1000);
}

#[tokio::test]
async fn the_subscriptions_of_a_websocket_share_a_byte_budget() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    let mut socket = Socket::connect(&app.base, None).await;
    let limit = (
        "LIMIT_EXCEEDED".to_owned(),
        "subscriptionBytesPerSocket".to_owned(),
    );
    // The id and the declared variables are stored.
    let long = |number: usize| format!("{number:0>60000}");
    for number in 0..8 {
        socket
            .subscribe(&long(number), "subscription { silent }")
            .await;
    }
    socket.subscribe(&long(8), "subscription { silent }").await;
    assert_eq!(socket.refusal(&long(8)).await, limit);
    socket
        .send(&json!({ "type": "complete", "id": long(0) }))
        .await;
    let numbers = |count: usize| {
        json!({ "type": "subscribe", "id": "numbers", "payload": {
            "query": "subscription($of: [Int!]!) { number(of: $of) }",
            "variables": { "of": vec![1; count] },
        } })
    };
    socket.send(&numbers(3_000)).await;
    assert_eq!(socket.refusal("numbers").await, limit);
    socket.send(&numbers(100)).await;
    assert_eq!(socket.event("numbers").await["data"]["number"], 100);
}

#[tokio::test]
async fn a_subscription_stores_neither_its_text_nor_undeclared_variables() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example_configured(folder.path(), unthrottled);
    server.register("ada").await;
    let token = server.sign_in("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(Socket::connect(&server.base, Some(&token)).await);
    }
    let before = server.process.peak_memory();
    for socket in &mut sockets {
        for id in 0..20 {
            // A different text each time.
            let document = format!("subscription {{ noteAdded }} # {id:0>5000}");
            let payload =
                json!({ "query": document, "variables": { "undeclared": "x".repeat(58_000) } });
            let message = json!({ "type": "subscribe", "id": id.to_string(), "payload": payload });
            socket.send(&message).await;
        }
        socket.send(&json!({ "type": "ping" })).await;
        assert_eq!(socket.receive().await["type"], "pong");
    }
    let kept = server.process.peak_memory() - before;
    println!("{kept} MiB");
    // The texts are 48 MB together.
    assert!(kept < 24, "{kept} MiB");
}

/// Opens a WebSocket without a library, so that nothing reads from it.
fn open_raw(server: &Server) -> TcpStream {
    let address: SocketAddr = server.address().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let headers = UPGRADE
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .concat();
    write!(
        stream,
        "GET /graphql HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Returns a frame with the mask 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    if let Ok(length @ 0..126) = u8::try_from(length) {
        frame.push(0x80 | length);
    } else {
        frame.push(0x80 | 0x7e);
        frame.extend(u16::try_from(length).unwrap().to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn pings_of_a_client_that_does_not_read_use_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example(folder.path());
    for is_initialised in [false, true] {
        let mut stream = open_raw(&server);
        if is_initialised {
            stream
                .write_all(&frame(0x81, br#"{"type":"connection_init"}"#))
                .unwrap();
        }
        let before = server.process.peak_memory();
        let pings = frame(0x89, &[b'x'; 125]).repeat(500);
        stream.set_nonblocking(true).unwrap();
        let (began, mut sent) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(4) {
            match stream.write(&pings[sent % pings.len()..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let grown = server.process.peak_memory() - before;
        println!("{sent} bytes were sent, and memory grew by {grown} MiB");
        assert!(grown < 8, "{grown} MiB");
        let health = Answer::of(server.request(Method::GET, "/healthz")).await;
        assert_eq!(health.status, 200);
    }
}

/// Returns the processor time of the server.
fn processor_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

#[tokio::test]
async fn idle_websockets_do_not_slow_down_writes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example_configured(folder.path(), unthrottled);
    for name in ["ada", "bob"] {
        server.register(name).await;
    }
    let token = server.sign_in("ada").await;
    let renew = async || {
        let renew = server.graphql("mutation { renewToken { expiresIn } }");
        let answer = renew.bearer(&token).send().await;
        assert!(
            answer.at("/data/renewToken/expiresIn").is_number(),
            "{answer:?}"
        );
    };
    let replace = async || {
        let replace = server.graphql("mutation { createToken(fresh: true) { token } }");
        let answer = replace.basic("bob", PASSWORD).send().await;
        assert!(
            answer.at("/data/createToken/token").is_string(),
            "{answer:?}"
        );
    };
    let measure = async || {
        let before = processor_time(&server);
        for _ in 0..200 {
            // Writes of the user of the WebSockets, and of another user.
            renew().await;
            replace().await;
        }
        processor_time(&server).saturating_sub(before)
    };
    let without = measure().await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(Socket::connect(&server.base, Some(&token)).await);
    }
    let with = measure().await;
    println!("{without:?} without sockets, {with:?} with 200");
    assert!(with < without * 3 / 2, "{with:?} and {without:?}");
    // The WebSockets are open.
    for socket in &mut sockets {
        socket.send(&json!({ "type": "ping" })).await;
        assert_eq!(socket.receive().await["type"], "pong");
    }
}

#[tokio::test]
async fn a_fragmented_message_uses_the_memory_budget() {
    let folder = tempfile::tempdir().unwrap();
    // Memory for 16 messages of this size.
    let server = Server::embed_example_configured(folder.path(), |command| {
        command.env("SYMBOLON_BODY_LIMIT", "8000000");
    });
    let part = "x".repeat(7_900_000);
    let mut sockets = Vec::new();
    for _ in 0..17 {
        let mut socket = Socket::connect(&server.base, None).await;
        let part = part.clone();
        sockets.push(tokio::spawn(async move {
            use tokio_tungstenite::tungstenite::protocol::frame::Frame;
            use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
            let unfinished = Frame::message(part, OpCode::Data(Data::Text), false);
            // The server may close the WebSocket before the message is sent.
            let _ = socket.0.send(Message::Frame(unfinished)).await;
            socket
        }));
    }
    let mut open = Vec::new();
    for socket in sockets {
        open.push(socket.await.unwrap());
    }
    let mut closed = 0;
    for socket in &mut open {
        let next = tokio::time::timeout(Duration::from_millis(200), socket.0.next());
        match next.await {
            Ok(Some(Ok(Message::Close(Some(frame))))) => {
                assert_eq!(u16::from(frame.code), 1013);
                closed += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    // While a buffer grows, the old and the new buffer may both be counted, so the number depends on the timing.
    assert!((1..=8).contains(&closed), "{closed}");
    // A small message is exempt from the budget.
    let mut socket = Socket::connect(&server.base, None).await;
    socket.send(&json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");
}

#[tokio::test]
async fn a_websocket_has_the_limits_of_http_requests() {
    let app = app().await;
    let mut socket = Socket::connect(&app.base, None).await;
    for (document, code, limit) in [
        ("{ __typename }", "GRAPHQL_VALIDATION_FAILED", ""),
        ("mutation { revokeToken }", "GRAPHQL_VALIDATION_FAILED", ""),
        ("subscription {", "GRAPHQL_PARSE_FAILED", ""),
        ("subscription { none }", "GRAPHQL_VALIDATION_FAILED", ""),
        ("", "GRAPHQL_PARSE_FAILED", ""),
        (
            &format!("subscription {{ {} }}", "public ".repeat(100)),
            "LIMIT_EXCEEDED",
            "rootFields",
        ),
        (
            &format!("subscription {{ public }}{}", " ".repeat(33_000)),
            "LIMIT_EXCEEDED",
            "documentBytes",
        ),
    ] {
        socket.subscribe("1", document).await;
        let refusal = socket.refusal("1").await;
        assert_eq!(refusal, (code.into(), limit.into()), "{document:.60}");
    }
}

#[tokio::test]
async fn a_websocket_carries_20_concurrent_subscriptions() {
    let app = app().await;
    let mut socket = Socket::connect(&app.base, None).await;
    for id in 0..20 {
        let id = id.to_string();
        socket.subscribe(&id, "subscription { public }").await;
        socket.event(&id).await;
    }
    // Sends without waiting for responses.
    for id in 20..2020 {
        let id = id.to_string();
        socket.subscribe(&id, "subscription { public }").await;
    }
    for id in 20..2020 {
        let refusal = socket.refusal(&id.to_string()).await;
        let limit = ("LIMIT_EXCEEDED".into(), "subscriptionsPerSocket".into());
        assert_eq!(refusal, limit);
    }
    socket.send(&json!({ "type": "complete", "id": "7" })).await;
    socket.subscribe("one", "subscription { public }").await;
    assert_eq!(socket.event("one").await["data"]["public"], 1);
}

#[tokio::test]
async fn a_websocket_message_has_the_size_limit_of_a_body() {
    let app = app().await;
    for bytes in [65_537, 4_000_000] {
        let mut socket = Socket::connect(&app.base, None).await;
        // The server may close the WebSocket before the message is sent.
        let _ = socket.0.send(Message::text("x".repeat(bytes))).await;
        assert_eq!(closed(socket).await, 1009);
    }
}

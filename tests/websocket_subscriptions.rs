//! GraphQL subscriptions over a WebSocket: execution, and the reasons to close.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use async_graphql::{Context, Result, Subscription};
use chrono::TimeDelta;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use poem::endpoint::make_sync;
use serde_json::json;
use symbolon::{Authenticated, Config, ContextExt, MockClock, Mutation, Query, RequireRole, Role};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    PASSWORD, Server, Socket, TestApp, eventually, node_in, start_of_time, succeed, symbolon,
};

struct Subscriptions;

/// Returns a stream of one event that never ends.
fn one<T>(event: T) -> impl Stream<Item = T> {
    stream::iter([event]).chain(stream::pending())
}

/// Returns the time since the first call, in microseconds.
fn micros() -> u128 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_micros()
}

#[Subscription]
impl Subscriptions {
    async fn public(&self) -> impl Stream<Item = i32> {
        one(1)
    }

    #[graphql(guard = "Authenticated")]
    async fn mine(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = String> + use<>> {
        Ok(one(ctx.current_user().await?.username))
    }

    #[graphql(guard = "RequireRole(Role::Admin)")]
    async fn admins(&self) -> impl Stream<Item = i32> {
        one(2)
    }

    async fn endless(&self) -> impl Stream<Item = String> {
        stream::repeat("x".repeat(10_000))
    }

    async fn long(&self) -> impl Stream<Item = String> {
        stream::iter(["ä".repeat(100_000)])
    }

    async fn broken(&self) -> impl Stream<Item = i32> {
        stream::iter([1]).map(|_| panic!("a resolver's own fault"))
    }

    /// The time of each event, in microseconds.
    async fn clock(&self) -> impl Stream<Item = String> {
        stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((micros().to_string(), ()))
        })
    }
}

pub async fn app() -> TestApp {
    configured(|_| {}).await
}

pub async fn configured(configure: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::with_routes(configure, |symbolon| {
        let schema = symbolon.schema(Query, Mutation, Subscriptions);
        symbolon.routes(schema.finish())
    })
    .await
}

/// Starts an app and returns the token of a user with the id 1.
async fn signed_in() -> (TestApp, String) {
    let app = app().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    (app, token)
}

/// Opens a WebSocket with this token and an active subscription.
async fn subscribed(app: &TestApp, token: &str) -> Socket {
    let mut socket = Socket::connect(&app.base, Some(token)).await;
    socket.subscribe("1", "subscription { mine }").await;
    assert_eq!(socket.event("1").await["data"], json!({ "mine": "ada" }));
    socket
}

/// Waits until the WebSocket is closed and returns the code.
pub async fn closed(mut socket: Socket) -> u16 {
    let since = Instant::now();
    let (code, reason) = socket.closed().await;
    let lag = since.elapsed();
    println!("closed with {code} after {lag:?}: {reason}");
    assert!(lag < Duration::from_secs(2), "{lag:?}");
    assert!(reason.ends_with('.'), "{reason}");
    code
}

#[tokio::test]
async fn an_anonymous_websocket_receives_public_fields_only() {
    let app = app().await;
    for payload in [
        json!(null),
        json!({}),
        json!({ "authorization": "" }),
        json!({ "authorization": 7 }),
        json!({ "authorization": "Bearer undefined" }),
        json!({ "token": "x" }),
    ] {
        let mut socket = Socket::open_uninitialised(&app.base).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.send(&init).await;
        assert_eq!(
            socket.receive().await["type"],
            "connection_ack",
            "{payload}"
        );
        socket.subscribe("1", "subscription { public }").await;
        assert_eq!(socket.event("1").await, json!({ "data": { "public": 1 } }));
        socket.subscribe("2", "subscription { mine }").await;
        let refusal = socket.refusal("2").await;
        assert_eq!(refusal, ("UNAUTHENTICATED".into(), "MISSING".into()));
    }
}

#[tokio::test]
async fn the_guard_uses_the_token_of_the_websocket() {
    let (app, token) = signed_in().await;
    let mut socket = subscribed(&app, &token).await;
    socket.subscribe("2", "subscription { admins }").await;
    let refusal = socket.refusal("2").await;
    assert_eq!(refusal, ("FORBIDDEN".into(), "ROLE_REQUIRED".into()));

    let mut capital = Socket::open_uninitialised(&app.base).await;
    let payload = json!({ "Authorization": format!("bearer {token}") });
    let init = json!({ "type": "connection_init", "payload": payload });
    capital.send(&init).await;
    assert_eq!(capital.receive().await["type"], "connection_ack");
    capital.subscribe("1", "subscription { mine }").await;
    assert_eq!(capital.event("1").await["data"]["mine"], "ada");
}

#[tokio::test]
async fn a_websocket_starts_with_a_valid_token_or_without_one() {
    let (app, token) = signed_in().await;
    let begin = async |token: &str| {
        let mut socket = Socket::open_uninitialised(&app.base).await;
        socket.initialise(Some(token)).await;
        closed(socket).await
    };
    assert_eq!(begin("made-up").await, 4401);
    assert_eq!(begin(&"A".repeat(32)).await, 4401);
    app.advance(TimeDelta::hours(2));
    assert_eq!(begin(&token).await, 4403);
    let token = app.sign_in("ada").await;
    app.revoke(&token).await;
    assert_eq!(begin(&token).await, 4401);
}

#[tokio::test]
async fn an_expired_token_closes_only_its_websockets() {
    let (app, token) = signed_in().await;
    let idle = Socket::connect(&app.base, Some(&token)).await;
    let busy = subscribed(&app, &token).await;
    let mut anonymous = Socket::connect(&app.base, None).await;
    app.advance(TimeDelta::hours(2));
    assert_eq!(closed(idle).await, 4403);
    assert_eq!(closed(busy).await, 4403);
    anonymous.subscribe("1", "subscription { public }").await;
    assert_eq!(anonymous.event("1").await["data"]["public"], 1);
    let token = app.sign_in("ada").await;
    subscribed(&app, &token).await;
}

#[tokio::test]
async fn a_renewed_token_keeps_its_websockets_until_the_new_expiration() {
    for is_device in [false, true] {
        let (app, mut token) = signed_in().await;
        if is_device {
            token = app.sign_in_on("ada", "phone").await;
        }
        let mut socket = subscribed(&app, &token).await;
        app.register("bob").await;
        let not_renewed = Socket::connect(&app.base, Some(&app.sign_in("bob").await)).await;
        app.advance(TimeDelta::minutes(50));
        let renewed = app.mutate(&token, "renewToken { token }").await;
        assert_eq!(renewed.at("/data/renewToken/token"), token.as_str());
        // An event is sent only after the token has been verified since the renewal.
        socket.subscribe("8", "subscription { mine }").await;
        assert_eq!(socket.event("8").await["data"]["mine"], "ada");
        app.advance(TimeDelta::minutes(20));
        assert_eq!(closed(not_renewed).await, 4403);
        socket.subscribe("9", "subscription { mine }").await;
        assert_eq!(socket.event("9").await["data"]["mine"], "ada");
        app.advance(TimeDelta::minutes(41));
        assert_eq!(closed(socket).await, 4403);
    }
}

#[tokio::test]
async fn a_clock_set_back_closes_the_websockets_of_tokens_that_expire_too_late() {
    let (app, token) = signed_in().await;
    let socket = subscribed(&app, &token).await;
    // The token now expires later than the latest expiration of a new token.
    app.advance(TimeDelta::days(-40));
    let refused = app.me(&token).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert_eq!(closed(socket).await, 4403);
    let mut socket = Socket::open_uninitialised(&app.base).await;
    socket.initialise(Some(&token)).await;
    assert_eq!(closed(socket).await, 4403);
}

#[tokio::test]
async fn the_server_closes_the_connection_after_the_closing_handshake() {
    let (app, token) = signed_in().await;
    let mut socket = Socket::connect(&app.base, Some(&token)).await;
    app.revoke(&token).await;
    assert_eq!(socket.closed().await.0, 4401);
    // The client answers the close frame, and reads until the end of the connection. The server waits up to two
    // seconds for a client that does not answer.
    let end = tokio::time::timeout(Duration::from_millis(1500), socket.0.next()).await;
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_revoked_token_closes_its_websockets() {
    let (app, token) = signed_in().await;
    let (first, second) = (
        subscribed(&app, &token).await,
        Socket::connect(&app.base, Some(&token)).await,
    );
    app.revoke(&token).await;
    assert_eq!(closed(first).await, 4401);
    assert_eq!(closed(second).await, 4401);

    let token = app.sign_in("ada").await;
    let socket = subscribed(&app, &token).await;
    let fresh = app.graphql("mutation { createToken(fresh: true) { token } }");
    let answer = fresh.basic("ada", PASSWORD).send().await;
    assert_eq!(closed(socket).await, 4401);

    let token = answer.at("/data/createToken/token").as_str().unwrap();
    let socket = subscribed(&app, token).await;
    let change = "mutation($c: String!) {
        changePassword(input: { currentPassword: $c, newPassword: \"another one, and long\" }) {
            token { token } userErrors { code }
        }
    }";
    let changed = app.graphql_with(change, &json!({ "c": PASSWORD }));
    let answer = changed.bearer(token).send().await;
    assert_eq!(closed(socket).await, 4401);
    let token = answer.at("/data/changePassword/token/token").as_str();
    subscribed(&app, token.unwrap()).await;
}

#[tokio::test]
async fn a_replaced_token_closes_its_websocket_with_a_reconnectable_code() {
    let (app, token) = signed_in().await;
    let socket = subscribed(&app, &token).await;
    app.advance(TimeDelta::minutes(59) + TimeDelta::seconds(30));
    assert_ne!(app.sign_in("ada").await, token);
    assert_eq!(closed(socket).await, 4403);
}

#[tokio::test]
async fn a_revocation_by_another_process_closes_the_websocket() {
    let (app, token) = signed_in().await;
    let socket = subscribed(&app, &token).await;
    let past = start_of_time().timestamp_millis() - 1;
    app.sql(&format!(
        "UPDATE symbolon_user SET token_expiration = {past}"
    ))
    .await;
    assert_eq!(closed(socket).await, 4403);

    let token = app.sign_in("ada").await;
    let socket = subscribed(&app, &token).await;
    app.sql("UPDATE symbolon_user SET token_nonce = NULL").await;
    assert_eq!(closed(socket).await, 4401);

    let token = app.sign_in("ada").await;
    let socket = subscribed(&app, &token).await;
    app.sql("UPDATE symbolon_user SET role = 'admin'").await;
    assert_eq!(closed(socket).await, 4403);

    let mut socket = subscribed(&app, &token).await;
    socket.subscribe("2", "subscription { admins }").await;
    assert_eq!(socket.event("2").await["data"]["admins"], 2);
    app.sql("DELETE FROM symbolon_user").await;
    assert_eq!(closed(socket).await, 4401);
}

#[tokio::test]
async fn unrelated_changes_keep_a_websocket_open() {
    let (app, token) = signed_in().await;
    let mut socket = subscribed(&app, &token).await;
    app.register("bob").await;
    let other = app.sign_in("bob").await;
    app.revoke(&other).await;
    app.sql("UPDATE symbolon_user SET email = 'ada@example.org' WHERE id = 1")
        .await;
    socket.subscribe("2", "subscription { mine }").await;
    assert_eq!(socket.event("2").await["data"]["mine"], "ada");
}

#[tokio::test]
async fn a_protocol_violation_closes_the_websocket_with_its_code() {
    let app = configured(|config| config.http.read_timeout = 1).await;
    let late = Socket::open_uninitialised(&app.base).await;
    let mut early = Socket::open_uninitialised(&app.base).await;
    early.subscribe("1", "subscription { public }").await;
    assert_eq!(closed(early).await, 4401);
    let mut twice = Socket::connect(&app.base, None).await;
    twice.initialise(None).await;
    assert_eq!(closed(twice).await, 4429);
    for message in ["no JSON", "[]", r#"{"type":"shout"}"#] {
        let mut socket = Socket::connect(&app.base, None).await;
        socket.0.send(Message::text(message)).await.unwrap();
        assert_eq!(closed(socket).await, 4400);
    }
    assert_eq!(closed(late).await, 4408);
}

#[tokio::test]
async fn a_panicking_resolver_closes_only_its_websocket() {
    let app = app().await;
    let mut other = Socket::connect(&app.base, None).await;
    let mut socket = Socket::connect(&app.base, None).await;
    socket.subscribe("1", "subscription { broken }").await;
    assert_eq!(closed(socket).await, 1011);
    other.subscribe("1", "subscription { public }").await;
    assert_eq!(other.event("1").await["data"]["public"], 1);
}

#[tokio::test]
async fn an_idle_websocket_outlives_the_request_timeouts() {
    let app = configured(|config| {
        config.http.read_timeout = 1;
        config.http.request_timeout = 1;
    })
    .await;
    let mut socket = Socket::connect(&app.base, None).await;
    let since = Instant::now();
    eventually("three seconds have passed", async || {
        (since.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    socket.subscribe("1", "subscription { public }").await;
    assert_eq!(socket.event("1").await["data"]["public"], 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_receives_no_more_events() {
    let app = configured(|config| config.http.read_timeout = 1).await;
    let mut socket = Socket::connect(&app.base, None).await;
    socket.subscribe("1", "subscription { endless }").await;
    // At most the content of the buffers of both ends; then the server closed the WebSocket.
    let mut received = 0_usize;
    let since = Instant::now();
    eventually("three seconds have passed", async || {
        (since.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    while let Some(Ok(message)) = socket.0.next().await {
        received += message.len();
    }
    println!("{received} bytes were under way");
    assert!(received < 32 * 1024 * 1024, "{received}");
}

#[tokio::test]
async fn a_busy_subscription_ends_with_its_token() {
    let (app, token) = signed_in().await;
    let mut socket = Socket::connect(&app.base, Some(&token)).await;
    socket.subscribe("1", "subscription { endless }").await;
    socket.event("1").await;
    let reading = tokio::spawn(async move {
        loop {
            if let Message::Close(frame) = socket.0.next().await.unwrap().unwrap() {
                return (frame.map(|frame| u16::from(frame.code)), Instant::now());
            }
        }
    });
    app.revoke(&token).await;
    let acknowledged = Instant::now();
    let (code, at) = reading.await.unwrap();
    let lag = at.saturating_duration_since(acknowledged);
    println!("closed after {lag:?}");
    assert_eq!(code, Some(4401));
    assert!(lag < Duration::from_secs(2), "{lag:?}");
}

#[tokio::test]
async fn a_stopping_server_closes_its_websockets_with_going_away() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::embed_example(folder.path());
        let socket = Socket::connect(&server.base, None).await;
        server.process.signal(signal);
        assert_eq!(closed(socket).await, 1001);
        let ended = server.process.wait(Duration::from_secs(5));
        assert!(ended.success());
    }
}

#[tokio::test]
#[ignore = "needs Node.js, which scripts/test installs"]
async fn graphql_ws_reconnects_with_a_new_token_after_expiration() {
    let clock = Arc::new(OnceLock::<MockClock>::new());
    let hands = Arc::clone(&clock);
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| {
            let schema = symbolon.schema(Query, Mutation, Subscriptions).finish();
            let later = make_sync(move |_| hands.get().unwrap().advance(TimeDelta::hours(2)));
            symbolon.routes(schema).at("/later", later)
        },
    )
    .await;
    clock.set(app.clock.clone()).unwrap();
    let mut suite = node_in("tests/web/subscriptions");
    suite
        .args(["--test", "--test-timeout", "60000", "expiry.test.mjs"])
        .env("SYMBOLON_URL", &app.base);
    let reason_text = tokio::task::spawn_blocking(move || succeed(&mut suite));
    println!("{}", reason_text.await.unwrap());
}

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn graphql_ws_reconnects_or_stops_by_close_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example(folder.path());
    let program = symbolon(folder.path());
    let mut suite = node_in("tests/web/subscriptions");
    suite
        .args(["--test", "--test-timeout", "60000", "graphql-ws.test.mjs"])
        .env("SYMBOLON_URL", &server.base)
        .env("SYMBOLON_PROGRAM", program.get_program())
        .env("SYMBOLON_FOLDER", folder.path());
    for (name, value) in program.get_envs() {
        suite.env(name, value.unwrap());
    }
    println!("{}", succeed(&mut suite));
}

#[tokio::test]
async fn all_websockets_of_a_token_are_closed_with_it() {
    let app = app().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(Socket::connect(&app.base, Some(&token)).await);
    }
    app.revoke(&token).await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await.0, 4401);
    }
    // The next token is watched as well, and again after all its WebSockets are closed.
    let token = app.sign_in("ada").await;
    let mut socket = Socket::connect(&app.base, Some(&token)).await;
    drop(Socket::connect(&app.base, Some(&token)).await);
    app.advance(TimeDelta::hours(2));
    assert_eq!(socket.closed().await.0, 4403);
}

#[tokio::test]
async fn no_event_is_resolved_or_sent_after_a_revocation() {
    let app = app().await;
    app.register("ada").await;
    for _ in 0..10 {
        let token = app.sign_in("ada").await;
        let mut socket = Socket::connect(&app.base, Some(&token)).await;
        socket.subscribe("1", "subscription { clock }").await;
        socket.event("1").await;
        let reading = tokio::spawn(async move {
            let mut last = 0;
            while let Some(Ok(message)) = socket.0.next().await {
                match message {
                    Message::Text(text) => {
                        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                        let made = &event["payload"]["data"]["clock"];
                        last = made.as_str().unwrap().parse().unwrap();
                    }
                    Message::Close(frame) => return (last, u16::from(frame.unwrap().code)),
                    _ => {}
                }
            }
            panic!("the socket was not closed");
        });
        app.revoke(&token).await;
        let acknowledged = micros();
        let (last, code) = reading.await.unwrap();
        assert_eq!(code, 4401);
        assert!(last <= acknowledged, "{last} is after {acknowledged}");
    }
}

#[tokio::test]
async fn an_event_longer_than_the_write_buffer_arrives_complete() {
    let app = app().await;
    let mut socket = Socket::connect(&app.base, None).await;
    socket.subscribe("1", "subscription { long }").await;
    let event = socket.event("1").await;
    assert_eq!(event["data"]["long"], "ä".repeat(100_000));
    assert_eq!(socket.receive().await["type"], "complete");
}

//! The protocol graphql-transport-ws: the reaction of the server to each message, and the token of a WebSocket.

use async_graphql::{Context, Error, Result, Subscription};
use futures_util::{SinkExt, Stream, StreamExt, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use symbolon::{Authenticated, ContextExt, Mutation, Query};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Socket, TestApp};

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=to)
    }

    async fn silent(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }

    /// An event with an error, and then an event without an error.
    async fn unsteady(&self) -> impl Stream<Item = Result<i32>> {
        stream::iter([Err(Error::new("the event failed")), Ok(1)])
    }

    async fn unavailable(&self) -> Result<impl Stream<Item = i32> + use<>> {
        Err::<stream::Empty<i32>, _>(Error::new("the source is not available"))
    }

    #[graphql(guard = "Authenticated")]
    async fn mine(&self) -> impl Stream<Item = i32> {
        stream::iter([1])
    }

    /// The username at the time of each event.
    async fn names<'a>(
        &self,
        ctx: &'a Context<'_>,
    ) -> impl Stream<Item = Result<String>> + use<'a> {
        let first = stream::iter([0]).chain(stream::pending());
        let ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        let ticks = stream::unfold(ticks, |mut ticks| async {
            ticks.tick().await;
            Some((0, ticks))
        });
        stream::select(first, ticks).then(move |_| async move {
            let user = ctx.current_user().await?;
            Ok(user.username)
        })
    }
}

async fn app() -> TestApp {
    TestApp::with_routes(
        |config| config.throttle.enabled = false,
        |symbolon| {
            let schema = symbolon.schema(Query, Mutation, Subscriptions);
            symbolon.routes(schema.finish())
        },
    )
    .await
}

fn subscribe(id: &str, document: &str) -> Value {
    json!({ "type": "subscribe", "id": id, "payload": { "query": document } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

fn next(id: &str, field: &str, value: i32) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": { field: value } } })
}

/// Asserts that the WebSocket receives exactly these messages. The errors of a message `error` are compared by their
/// codes.
async fn assert_received(socket: &mut Socket, expected: &[Value]) {
    socket
        .send(&json!({ "type": "ping", "payload": { "last": true } }))
        .await;
    let mut received = Vec::new();
    loop {
        let mut message = socket.receive().await;
        if message == json!({ "type": "pong", "payload": { "last": true } }) {
            break;
        }
        if message["type"] == "error" {
            let codes = message["payload"].as_array().unwrap().iter();
            message["payload"] = codes
                .map(|error| error["extensions"]["code"].clone())
                .collect();
        }
        received.push(message);
    }
    assert_eq!(received, expected);
}

/// Waits until each operation has sent as many messages as expected.
async fn exchange(socket: &mut Socket, sent: &[Value], expected: &[Value]) {
    for message in sent {
        socket.send(message).await;
    }
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let mut message = socket.receive().await;
        if message["type"] == "error" {
            let codes = message["payload"].as_array().unwrap().iter();
            message["payload"] = codes
                .map(|error| error["extensions"]["code"].clone())
                .collect();
        }
        received.push(message);
    }
    assert_eq!(received, expected, "{sent:?}");
    assert_received(socket, &[]).await;
}

fn error(id: &str, code: &str) -> Value {
    json!({ "type": "error", "id": id, "payload": [code] })
}

#[tokio::test]
async fn each_valid_message_has_the_specified_answer() {
    let app = app().await;
    let mut socket = Socket::open_uninitialised(&app.base).await;
    let ping = json!({ "type": "ping" });
    let answer = json!({ "type": "pong" });
    // Both parties can send pings and pongs at any time.
    exchange(&mut socket, &[answer.clone(), ping], &[answer]).await;
    let init = json!({ "type": "connection_init", "payload": null, "unknown": 1 });
    exchange(&mut socket, &[init], &[json!({ "type": "connection_ack" })]).await;
    let failed = json!({ "type": "next", "id": "a", "payload": {
        "data": null, "errors": [{ "message": "the event failed", "locations": [{ "line": 1, "column": 16 }],
            "path": ["unsteady"], "extensions": { "code": "BAD_USER_INPUT" } }] } });
    let count = "subscription($to: Int!) { count(to: $to) }";
    let variables = json!({ "type": "subscribe", "id": "a",
        "payload": { "query": count, "variables": { "to": 1 }, "operationName": null, "extensions": {} } });
    for (sent, expected) in [
        (
            vec![subscribe("a", "subscription { count(to: 2) }")],
            vec![next("a", "count", 1), next("a", "count", 2), complete("a")],
        ),
        (vec![variables], vec![next("a", "count", 1), complete("a")]),
        (
            vec![subscribe("a", "subscription { count(to: 0) }")],
            vec![complete("a")],
        ),
        // Errors before the execution.
        (
            vec![subscribe("a", "subscription {")],
            vec![error("a", "GRAPHQL_PARSE_FAILED")],
        ),
        (
            vec![subscribe("a", "")],
            vec![error("a", "GRAPHQL_PARSE_FAILED")],
        ),
        (
            vec![subscribe("a", "subscription { none }")],
            vec![error("a", "GRAPHQL_VALIDATION_FAILED")],
        ),
        (
            vec![subscribe("a", "{ __typename }")],
            vec![error("a", "GRAPHQL_VALIDATION_FAILED")],
        ),
        // Errors instead of the execution.
        (
            vec![subscribe("a", "subscription { mine }")],
            vec![error("a", "UNAUTHENTICATED")],
        ),
        (
            vec![subscribe("a", "subscription { unavailable }")],
            vec![error("a", "BAD_USER_INPUT")],
        ),
        // An error of one event.
        (
            vec![subscribe("a", "subscription { unsteady }")],
            vec![failed, next("a", "unsteady", 1), complete("a")],
        ),
        // A `complete` is not answered, and frees the id.
        (
            vec![subscribe("a", "subscription { silent }"), complete("a")],
            vec![],
        ),
        (vec![complete("a"), complete("unknown")], vec![]),
        (
            vec![
                subscribe("a", "subscription { silent }"),
                subscribe("b", "subscription { count(to: 1) }"),
            ],
            vec![next("b", "count", 1), complete("b")],
        ),
    ] {
        exchange(&mut socket, &sent, &expected).await;
    }
    let binary = subscribe("c", "subscription { count(to: 1) }").to_string();
    socket.0.send(Message::binary(binary)).await.unwrap();
    exchange(&mut socket, &[], &[next("c", "count", 1), complete("c")]).await;
}

#[tokio::test]
async fn an_invalid_message_closes_the_websocket() {
    let app = app().await;
    let silent = json!({ "query": "subscription { silent }" });
    let long = "é".repeat(100);
    let in_use = |id: &str| {
        let message = subscribe(id, "subscription { silent }").to_string();
        vec![message.clone(), message]
    };
    let init = || vec![json!({ "type": "connection_init" }).to_string()];
    let mut cases = vec![
        (
            true,
            in_use("a"),
            4409,
            "Subscriber for a already exists".to_owned(),
        ),
        (
            true,
            in_use(&long),
            4409,
            format!("Subscriber for {} already exists", "é".repeat(46)),
        ),
        (
            true,
            init(),
            4429,
            "connection_init was sent more than once.".to_owned(),
        ),
        (
            false,
            vec![subscribe("a", "subscription { silent }").to_string()],
            4401,
            "The first message must be connection_init.".to_owned(),
        ),
    ];
    let invalid = "The message is not valid in graphql-transport-ws.";
    for message in [
        "",
        "no JSON",
        "null",
        "7",
        "[]",
        "{}",
        "{\"type\":7}",
        "\u{0}",
    ] {
        cases.push((true, vec![message.to_owned()], 4400, invalid.to_owned()));
        cases.push((false, vec![message.to_owned()], 4400, invalid.to_owned()));
    }
    for message in [
        json!({ "type": "connection_init", "payload": "Bearer x" }),
        json!({ "type": "connection_init", "payload": [] }),
        json!({ "type": "ping", "payload": 7 }),
        json!({ "type": "subscribe" }),
        json!({ "type": "subscribe", "id": "a" }),
        json!({ "type": "subscribe", "id": "", "payload": silent }),
        json!({ "type": "subscribe", "id": 7, "payload": silent }),
        json!({ "type": "subscribe", "id": null, "payload": silent }),
        json!({ "type": "subscribe", "payload": silent }),
        json!({ "type": "subscribe", "id": "a", "payload": null }),
        json!({ "type": "subscribe", "id": "a", "payload": {} }),
        json!({ "type": "subscribe", "id": "a", "payload": { "query": 7 } }),
        json!({ "type": "subscribe", "id": "a", "payload": { "query": "{a}", "variables": [] } }),
        json!({ "type": "subscribe", "id": "a", "payload": { "query": "{a}", "operationName": 7 } }),
        json!({ "type": "complete" }),
        json!({ "type": "complete", "id": 7 }),
        // Messages of the server, and of the protocol of subscriptions-transport-ws.
        json!({ "type": "connection_ack" }),
        json!({ "type": "next", "id": "a", "payload": {} }),
        json!({ "type": "error", "id": "a", "payload": [] }),
        json!({ "type": "start", "id": "a", "payload": silent }),
        json!({ "type": "stop", "id": "a" }),
        json!({ "type": "connection_terminate" }),
        json!({ "type": "Subscribe", "id": "a", "payload": silent }),
    ] {
        cases.push((true, vec![message.to_string()], 4400, invalid.to_owned()));
    }
    for (is_initialised, messages, code, reason) in cases {
        let mut socket = if is_initialised {
            Socket::connect(&app.base, None).await
        } else {
            Socket::open_uninitialised(&app.base).await
        };
        for message in &messages {
            // The server may close the WebSocket before the last message is sent.
            let _ = socket.0.send(Message::text(message.as_str())).await;
        }
        assert_eq!(socket.closed().await, (code, reason), "{messages:?}");
    }
}

#[tokio::test]
async fn the_token_of_a_websocket_comes_from_the_header_or_the_first_message() {
    let app = app().await;
    app.register("ada").await;
    app.register("bob").await;
    let bearer = async |name: &str| format!("Bearer {}", app.sign_in(name).await);
    let (ada, bob) = (bearer("ada").await, bearer("bob").await);
    let basic = "Basic YWRhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwbGU=";
    let null = "Bearer null";
    let (nobody, revoked) = (Ok(None), Err(4401));
    for (header, payload, expected) in [
        (None, json!({ "authorization": ada }), Ok(Some("ada"))),
        (None, json!({ "Authorization": ada }), Ok(Some("ada"))),
        (None, json!({ "AUTHORIZATION": ada }), Ok(Some("ada"))),
        (
            None,
            json!({ "headers": { "authorization": ada } }),
            Ok(Some("ada")),
        ),
        (
            None,
            json!({ "headers": { "Authorization": ada } }),
            Ok(Some("ada")),
        ),
        (Some(&*ada), json!(null), Ok(Some("ada"))),
        (Some(&ada), json!({}), Ok(Some("ada"))),
        (
            Some(&ada),
            json!({ "authorization": null }),
            Ok(Some("ada")),
        ),
        (
            Some(&ada),
            json!({ "authorization": 7, "headers": [] }),
            Ok(Some("ada")),
        ),
        (
            Some(&ada),
            json!({ "authorization": null, "headers": { "authorization": "Bearer undefined" } }),
            Ok(Some("ada")),
        ),
        // The first message takes precedence over the header, and `authorization` over `headers`.
        (Some(&ada), json!({ "authorization": bob }), Ok(Some("bob"))),
        (
            Some(&ada),
            json!({ "headers": { "Authorization": bob } }),
            Ok(Some("bob")),
        ),
        (
            Some("Bearer invalid"),
            json!({ "authorization": bob }),
            Ok(Some("bob")),
        ),
        (
            Some(&ada),
            json!({ "authorization": "Bearer invalid" }),
            revoked,
        ),
        (
            None,
            json!({ "authorization": ada, "headers": { "authorization": bob } }),
            Ok(Some("ada")),
        ),
        (
            None,
            json!({ "authorization": null, "headers": { "authorization": bob } }),
            Ok(Some("bob")),
        ),
        (Some("Bearer invalid"), json!(null), revoked),
        // No token.
        (None, json!({ "authorization": null }), nobody),
        (Some(null), json!({ "authorization": null }), nobody),
        (
            Some(null),
            json!({ "authorization": "Bearer null" }),
            nobody,
        ),
        (Some("nonsense"), json!({ "headers": null }), nobody),
        // A browser adds Basic credentials for a proxy.
        (Some(basic), json!(null), nobody),
        (
            None,
            json!({ "token": ada, "headers": { "headers": { "authorization": ada } } }),
            nobody,
        ),
    ] {
        let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
        let headers = header.map(|value| ("authorization", value));
        let headers: Vec<_> = std::iter::once(protocol).chain(headers).collect();
        let mut socket = Socket::open(&app.base, &headers).await.unwrap();
        socket
            .send(&json!({ "type": "connection_init", "payload": payload }))
            .await;
        let case = format!("{header:?} {payload}");
        match expected {
            Err(code) => assert_eq!(socket.closed().await.0, code, "{case}"),
            Ok(name) => {
                assert_eq!(socket.receive().await["type"], "connection_ack", "{case}");
                socket.send(&subscribe("1", "subscription { names }")).await;
                let message = socket.receive().await;
                let name = name.map_or(Value::Null, |name| json!(name));
                assert_eq!(message["payload"]["data"]["names"], name, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_in_the_url_is_ignored_and_pages_of_other_origins_are_refused() {
    let app = app().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    for name in ["authorization", "access_token", "token"] {
        let path = format!("/graphql?{name}=Bearer%20{token}");
        let mut socket = Socket::open_at(&app.base, &path, &[protocol])
            .await
            .unwrap();
        socket.initialise(None).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        socket.subscribe("1", "subscription { mine }").await;
        assert_eq!(socket.refusal("1").await.1, "MISSING");
    }
    let authorization = format!("Bearer {token}");
    for (origin, expected) in [
        ("https://evil.example", Err(StatusCode::FORBIDDEN)),
        ("null", Err(StatusCode::FORBIDDEN)),
        (&*app.base, Ok(())),
    ] {
        let headers = [
            protocol,
            ("origin", origin),
            ("authorization", &authorization),
        ];
        let opened = Socket::open(&app.base, &headers).await;
        assert_eq!(opened.map(drop), expected, "{origin}");
    }
}

#[tokio::test]
async fn a_subscription_sees_the_new_name_after_a_rename() {
    let app = app().await;
    app.register("ada").await;
    let mut socket = Socket::connect(&app.base, Some(&app.sign_in("ada").await)).await;
    socket.subscribe("1", "subscription { names }").await;
    assert_eq!(socket.event("1").await["data"]["names"], "ada");
    let rename =
        "mutation { updateUser(input: { username: \"countess\" }) { userErrors { message } } }";
    let token = app.sign_in("ada").await;
    let renamed = app.graphql(rename).bearer(&token).send().await;
    assert_eq!(
        renamed.at("/data/updateUser/userErrors"),
        &json!([]),
        "{renamed:?}"
    );
    // Events that were sent before the rename follow first.
    let mut names = Vec::new();
    while names.last() != Some(&json!("countess")) && names.len() < 1000 {
        names.push(socket.event("1").await["data"]["names"].take());
    }
    assert_eq!(names.last(), Some(&json!("countess")));
}

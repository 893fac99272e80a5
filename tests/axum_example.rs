//! The example `examples/axum.rs`: Symbolon on another server.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server, Socket};

struct Notes {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Notes {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::example("axum", folder.path(), |_| {});
        server.register("ada").await;
        Self {
            server,
            _folder: folder,
        }
    }

    async fn sign_in(&self) -> Answer {
        self.sign_in_with(PASSWORD).await
    }

    async fn sign_in_with(&self, password: &str) -> Answer {
        let request = self.server.request(Method::POST, "/sign-in");
        Answer::of(request.basic_auth("ada", Some(password))).await
    }

    async fn token(&self) -> String {
        self.sign_in().await.string("/token").to_owned()
    }

    async fn whoami(&self, token: &str) -> Answer {
        let request = self.server.request(Method::GET, "/whoami");
        Answer::of(request.bearer_auth(token)).await
    }

    async fn add_note(&self, token: &str, text: &str) -> Answer {
        let document = "mutation($t: String!) { addNote(text: $t) }";
        let request = self.server.graphql_with(document, &json!({ "t": text }));
        request.bearer(token).send().await
    }
}

#[tokio::test]
async fn the_example_authenticates_requests() {
    let notes = Notes::start().await;
    let token = notes.token().await;
    assert_eq!(notes.whoami(&token).await.body, "You are ada.\n");
    assert_eq!(
        notes.add_note(&token, "one").await.at("/data/addNote"),
        false
    );
    assert!(notes.server.accepts(&token).await);
    // `createToken` is a part of the schema of the example.
    assert_eq!(notes.server.sign_in("ada").await, token);
    // The revocation takes effect at each endpoint at the next request.
    assert_eq!(
        notes.server.revoke(&token).await.at("/data/revokeToken"),
        true
    );
    let refused = notes.whoami(&token).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.at("/reason"), "TOKEN_EXPIRED");
    let refused = notes.add_note(&token, "two").await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn errors_have_the_same_form_as_those_of_the_server() {
    let notes = Notes::start().await;
    let wrong = notes.sign_in_with("wrong").await;
    assert_eq!(wrong.status, 401);
    let expected = json!({
        "error": "Unauthorized",
        "message": "The username or password is wrong.",
        "code": "UNAUTHENTICATED",
        "reason": "INVALID_CREDENTIALS",
    });
    assert_eq!(wrong.body, expected);
    // A challenge for Basic would make browsers store the password.
    assert_eq!(
        wrong.header("www-authenticate"),
        "Bearer realm=\"symbolon\""
    );
    let invalid = notes.whoami("never-issued").await;
    let challenge = "Bearer realm=\"symbolon\", error=\"invalid_token\"";
    assert_eq!(invalid.header("www-authenticate"), challenge);
    let request = notes.server.request(Method::GET, "/whoami");
    let twice = request
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b");
    assert_eq!(Answer::of(twice).await.status, 400);
    for _ in 0..100 {
        let limited = notes.sign_in_with("wrong").await;
        if limited.status == 429 {
            let seconds: u32 = limited.header("retry-after").parse().unwrap();
            assert_eq!(limited.at("/retryAfter"), seconds);
            return;
        }
    }
    panic!("the throttle does not limit the example");
}

#[tokio::test]
async fn the_limits_apply_to_the_example() {
    let notes = Notes::start().await;
    let deep = "{ __typename ".repeat(60) + &"}".repeat(60);
    let refused = notes.server.graphql(&deep).send().await;
    assert_eq!(refused.error().0, "LIMIT_EXCEEDED");
    let invalid = notes.server.graphql("{ nothing }").send().await;
    assert_eq!(invalid.error().0, "GRAPHQL_VALIDATION_FAILED");
    let large = json!({ "query": "{ __typename }", "padding": "x".repeat(70_000) });
    let refused = notes.server.graphql_body(&large).send().await;
    assert_eq!(refused.status, 413);
    let request = notes
        .server
        .request(Method::POST, "/graphql")
        .header(CONTENT_TYPE, "text/plain");
    let refused = Answer::of(request.body("{\"query\":\"{ __typename }\"}")).await;
    assert_eq!(refused.status, 415);
    let request = notes
        .server
        .request(Method::GET, "/graphql?query=mutation%7BrevokeToken%7D");
    assert!(Answer::of(request).await.status.is_client_error());
}

#[tokio::test]
async fn a_subscription_of_the_example_ends_with_the_token() {
    let notes = Notes::start().await;
    let token = notes.token().await;
    let mut socket = Socket::connect(&notes.server.base, Some(&token)).await;
    socket.subscribe("1", "subscription { noteAdded }").await;
    // A query shows that the server has received the subscription.
    socket.subscribe("2", "{ me { username } }").await;
    assert_eq!(socket.event("2").await["data"]["me"]["username"], "ada");
    assert_eq!(socket.receive().await["type"], "complete");
    notes.add_note(&token, "one").await;
    assert_eq!(socket.event("1").await["data"]["noteAdded"], "one");

    // The digest of a revoked token is known until the next sign-in without a device.
    let other = notes.server.sign_in_on("ada", "Phone").await;
    notes.server.revoke(&token).await;
    notes.add_note(&other, "two").await;
    let last = socket.event("1").await;
    let extensions = &last["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "UNAUTHENTICATED", "{last}");
    assert_eq!(extensions["reason"], "TOKEN_EXPIRED");
    assert_eq!(
        socket.receive().await,
        json!({ "type": "complete", "id": "1" })
    );
    // The WebSocket stays open, but its token is refused.
    for (id, document) in [
        ("3", "{ me { username } }"),
        ("4", "mutation { addNote(text: \"x\") }"),
    ] {
        socket.subscribe(id, document).await;
        let refused = socket.event(id).await;
        assert_eq!(
            refused["errors"][0]["extensions"]["reason"],
            "TOKEN_EXPIRED"
        );
        assert_eq!(socket.receive().await["type"], "complete");
    }
    socket.subscribe("5", "subscription { noteAdded }").await;
    let refused = socket.event("5").await;
    assert_eq!(
        refused["errors"][0]["extensions"]["reason"],
        "TOKEN_EXPIRED"
    );
}

#[tokio::test]
async fn a_websocket_of_the_example_without_a_token_has_no_credentials() {
    let notes = Notes::start().await;
    let mut socket = Socket::connect(&notes.server.base, None).await;
    socket.subscribe("1", "subscription { noteAdded }").await;
    let refused: Value = socket.event("1").await;
    assert_eq!(refused["errors"][0]["extensions"]["reason"], "MISSING");
}

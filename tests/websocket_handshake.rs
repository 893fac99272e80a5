//! The opening handshake of a WebSocket.

use reqwest::StatusCode;

use crate::support::{Socket, TestApp};
use crate::websocket_limits::{routes, upgrade};
use crate::websocket_subscriptions::app;

#[tokio::test]
async fn an_invalid_opening_handshake_is_refused() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    for version in ["8", "14", ""] {
        let answer = upgrade(&app, &[("sec-websocket-version", version)]).await;
        assert_eq!(answer.status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(answer.header("sec-websocket-version"), "13");
    }
    for (name, value) in [
        ("sec-websocket-key", ""),
        ("sec-websocket-key", "AAAA"),
        ("sec-websocket-key", "not base64 at all!!!!!=="),
        ("connection", "keep-alive"),
        ("sec-websocket-protocol", "graphql-ws"),
    ] {
        let answer = upgrade(&app, &[(name, value)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {value}");
        assert_eq!(answer.at("/code"), "BAD_REQUEST");
    }
}

#[tokio::test]
async fn websockets_require_graphql_transport_ws_and_a_schema_with_subscriptions() {
    let app = app().await;
    let open = async |app: &TestApp, protocol| {
        let headers = [("sec-websocket-protocol", protocol)];
        Socket::open(&app.base, &headers).await.map(drop).err()
    };
    let bad_request = Some(StatusCode::BAD_REQUEST);
    assert_eq!(open(&app, "graphql-transport-ws").await, None);
    assert_eq!(open(&app, "graphql-ws, graphql-transport-ws").await, None);
    assert_eq!(open(&app, "graphql-ws").await, bad_request);
    assert_eq!(
        Socket::open(&app.base, &[]).await.map(drop).err(),
        bad_request
    );
    let own = TestApp::start().await;
    assert_eq!(open(&own, "graphql-transport-ws").await, bad_request);
    let over_http = app.graphql("subscription { public }").send().await;
    assert_eq!(over_http.error().0, "GRAPHQL_VALIDATION_FAILED");
}

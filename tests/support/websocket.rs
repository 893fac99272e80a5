//! A client of the protocol graphql-transport-ws that can violate the protocol.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The longest time to wait for a message.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An open WebSocket.
pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a WebSocket with these headers. Returns the status of a refusal.
    pub async fn open(base: &str, headers: &[(&'static str, &str)]) -> Result<Self, StatusCode> {
        Self::open_at(base, "/graphql", headers).await
    }

    /// Opens a WebSocket at this path with these headers. Returns the status of a refusal.
    pub async fn open_at(
        base: &str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, StatusCode> {
        let url = format!("{}{path}", base.replace("http://", "ws://"));
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a WebSocket without sending a message.
    pub async fn open_uninitialised(base: &str) -> Self {
        let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
        Self::open(base, &[protocol]).await.unwrap()
    }

    /// Opens a WebSocket and initialises it with this token.
    pub async fn connect(base: &str, token: Option<&str>) -> Self {
        let mut socket = Self::open_uninitialised(base).await;
        socket.initialise(token).await;
        assert_eq!(socket.receive().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub async fn initialise(&mut self, token: Option<&str>) {
        let payload = token.map(|token| json!({ "authorization": format!("Bearer {token}") }));
        let message = json!({ "type": "connection_init", "payload": payload });
        self.send(&message).await;
    }

    pub async fn send(&mut self, message: &Value) {
        let message = Message::text(message.to_string());
        self.0.send(message).await.unwrap();
    }

    pub async fn subscribe(&mut self, id: &str, document: &str) {
        let payload = json!({ "query": document });
        let message = json!({ "type": "subscribe", "id": id, "payload": payload });
        self.send(&message).await;
    }

    /// Returns the next message of the protocol.
    pub async fn receive(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the payload of the next event of this operation.
    pub async fn event(&mut self, id: &str) -> Value {
        let mut message = self.receive().await;
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("next"), &json!(id))
        );
        message["payload"].take()
    }

    /// Returns `code` and `reason`, or `limit`, of the only error of this operation, which was refused.
    pub async fn refusal(&mut self, id: &str) -> (String, String) {
        let message = self.receive().await;
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("error"), &json!(id)),
            "{message}"
        );
        let errors = message["payload"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{message}");
        let extensions = &errors[0]["extensions"];
        let text = |name: &str| extensions[name].as_str().map(str::to_owned);
        let reason = text("reason").or_else(|| text("limit"));
        (text("code").unwrap_or_default(), reason.unwrap_or_default())
    }

    /// Returns the close code and reason. Fails the test if another message comes first.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    async fn next(&mut self) -> Message {
        // Pings do not extend the deadline.
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let message = timeout_at(deadline, self.0.next()).await.unwrap();
            match message.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}

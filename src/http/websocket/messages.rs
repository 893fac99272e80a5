//! The messages of the protocol [graphql-transport-ws].
//!
//! [graphql-transport-ws]: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

use async_graphql::{Response, ServerError, Variables};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message from a client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    ConnectionInit {
        payload: Option<Map<String, Value>>,
    },
    Ping {
        payload: Option<Map<String, Value>>,
    },
    Pong {
        #[serde(rename = "payload")]
        _payload: Option<Map<String, Value>>,
    },
    Subscribe {
        id: String,
        payload: SubscribePayload,
    },
    Complete {
        id: String,
    },
}

/// The operation in a message `subscribe`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscribePayload {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Option<Variables>,
}

impl ClientMessage {
    /// Parses a message. Returns `None` if the protocol does not define the message.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let message = serde_json::from_slice(text).ok()?;
        let has_empty_id = matches!(&message, Self::Subscribe { id, .. } if id.is_empty());
        (!has_empty_id).then_some(message)
    }
}

/// A message from the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Value>>,
    },
    /// The result of one event.
    Next {
        id: &'a str,
        payload: &'a Response,
    },
    /// The errors of an operation that was refused. No message with this id follows.
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

//! The protocol [graphql-transport-ws]: the reaction of the server to each message.
//!
//! [graphql-transport-ws]: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

use std::time::Duration;

use async_graphql::{ObjectType, SubscriptionType};
use futures_util::future::poll_fn;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::Bytes;

use super::close_reason::CloseReason;
use super::message_stream::MessageStream;
use super::messages::{ClientMessage, ServerMessage};
use super::running_subscriptions::{Output, RunningSubscriptions};
use super::subscription_executor::SubscriptionExecutor;
use crate::error::Error;
use crate::graphql::execution::Operation;
use crate::service::token_watch::TokenWatch;

/// The time between two pings. A client that sends nothing during two intervals is disconnected.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Why the protocol has ended: the reason to close the WebSocket, or `None` if the client has disconnected.
type End = Option<CloseReason>;

/// The server's side of the protocol.
pub(super) struct Protocol<'a, Q, M, S> {
    messages: &'a MessageStream,
    executor: SubscriptionExecutor<Q, M, S>,
    subscriptions: RunningSubscriptions,
    /// The receiver of the token. `None` after `connection_init`.
    init_sender: Option<oneshot::Sender<Option<TokenWatch>>>,
}

impl<'a, Q, M, S> Protocol<'a, Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Creates the protocol. `init_sender` receives the watch of the token after `connection_init`.
    pub(super) fn new(
        messages: &'a MessageStream,
        executor: SubscriptionExecutor<Q, M, S>,
        init_sender: oneshot::Sender<Option<TokenWatch>>,
    ) -> Self {
        Self {
            messages,
            executor,
            subscriptions: RunningSubscriptions::default(),
            init_sender: Some(init_sender),
        }
    }

    /// Runs the protocol until the WebSocket must be closed or the client has disconnected.
    pub(super) async fn run(mut self) -> End {
        let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_intervals = 0;
        loop {
            // The next message is read, and the next event is resolved, only after the previous message has been
            // written.
            let step = tokio::select! {
                message = poll_fn(|cx| self.messages.poll_message(cx)) => match message {
                    Some(message) => self.receive(&message).await,
                    None => Err(self.messages.read_error()),
                },
                output = self.subscriptions.next() => self.forward(&output).await,
                _ = pings.tick() => {
                    let has_received = self.messages.take_has_received();
                    silent_intervals = if has_received { 0 } else { silent_intervals + 1 };
                    if silent_intervals == 2 {
                        return None;
                    }
                    self.messages.ping().await.map_err(|_| None)
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn receive(&mut self, message: &Bytes) -> Result<(), End> {
        match ClientMessage::parse(message) {
            Some(ClientMessage::ConnectionInit { payload }) => {
                let init_sender = self.init_sender.take();
                let init_sender = init_sender.ok_or(CloseReason::REPEATED_INIT)?;
                let payload = payload.unwrap_or_default();
                let token = self.executor.socket.initialise(&payload).await?;
                // An error is ignored, because sending fails only if the WebSocket has closed.
                let _ = init_sender.send(token);
                self.send(&ServerMessage::ConnectionAck).await
            }
            Some(ClientMessage::Ping { payload }) => {
                self.send(&ServerMessage::Pong { payload }).await
            }
            Some(ClientMessage::Pong { .. }) => Ok(()),
            Some(ClientMessage::Subscribe { id, payload }) => {
                if self.init_sender.is_some() {
                    return Err(Some(CloseReason::NOT_INITIALISED));
                }
                if self.subscriptions.contains(&id) {
                    return Err(Some(CloseReason::id_in_use(&id)));
                }
                let operation = Operation {
                    document: payload.query,
                    name: payload.operation_name,
                    variables: payload.variables.unwrap_or_default(),
                };
                match self.executor.subscribe(operation, id.len()) {
                    Ok(events) => {
                        self.subscriptions.insert(id, events);
                        Ok(())
                    }
                    Err(error) => {
                        let payload = &self.executor.errors(&error);
                        self.send(&ServerMessage::Error { id: &id, payload }).await
                    }
                }
            }
            // The subscription may have ended while the message was on its way.
            Some(ClientMessage::Complete { id }) => {
                self.subscriptions.remove(&id);
                Ok(())
            }
            None => Err(Some(CloseReason::INVALID_MESSAGE)),
        }
    }

    async fn forward(&mut self, output: &Output) -> Result<(), End> {
        let message = match output {
            Output::Event(id, payload) => ServerMessage::Next { id, payload },
            Output::Refused(id, response) => ServerMessage::Error {
                id,
                payload: &response.errors,
            },
            Output::Complete(id) => ServerMessage::Complete { id },
        };
        self.send(&message).await
    }

    async fn send(&mut self, message: &ServerMessage<'_>) -> Result<(), End> {
        let text = serde_json::to_string(message).map_err(|error| {
            Error::internal(error).log(&self.executor.socket.request_id);
            Some(CloseReason::INTERNAL)
        })?;
        self.messages.send(text).await.map_err(|_| None)
    }
}

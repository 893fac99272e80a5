//! Executes subscriptions, with the same limits and guards as all other operations.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{ObjectType, Response, ServerError, SubscriptionType};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::socket_state::SocketState;
use crate::error::Error;
use crate::graphql::errors::request_error_response;
use crate::graphql::execution::{Operation, OperationExecutor};

/// Executes the subscriptions of one WebSocket.
pub(super) struct SubscriptionExecutor<Q, M, S> {
    pub(super) executor: Arc<OperationExecutor<Q, M, S>>,
    pub(super) socket: Arc<SocketState>,
}

impl<Q, M, S> SubscriptionExecutor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Starts a subscription whose id has `id_bytes` bytes, and returns the stream of its events.
    pub(super) fn subscribe(
        &self,
        operation: Operation,
        id_bytes: usize,
    ) -> Result<BoxStream<'static, Response>, Error> {
        let socket = &self.socket;
        let prepared = self.executor.prepare(operation)?;
        if prepared.document.operation_type != OperationType::Subscription {
            let message = "Only subscriptions can be sent over a WebSocket.";
            return Err(Error::GraphqlValidationFailed(message.to_owned()));
        }
        let usage = socket.start_subscription(prepared.bytes() + id_bytes)?;
        let request_id = Arc::clone(&socket.request_id);
        let events = (self.executor).subscribe(prepared, socket.authentication(), request_id);
        let confirmation = socket.confirmation();
        let events = events.then(move |event| {
            let confirmation = confirmation.clone();
            let _usage = &usage;
            async move {
                // An event is sent only after the token has been confirmed to be still valid.
                if let Some(mut confirmation) = confirmation {
                    confirmation.wait().await;
                }
                event
            }
        });
        Ok(events.boxed())
    }

    /// Returns the errors to send for an operation that was refused.
    pub(super) fn errors(&self, error: &Error) -> Vec<ServerError> {
        request_error_response(error, &self.socket.request_id).errors
    }
}

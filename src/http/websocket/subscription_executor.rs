//! Executes subscriptions, with the same limits and guards as all other operations.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Data, ObjectType, Request, Response, SubscriptionType};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::socket_state::SocketState;
use crate::error::Error;
use crate::graphql::errors::request_error_response;
use crate::graphql::execution::{Executor, Operation};

/// Executes the subscriptions of one WebSocket.
pub(super) struct SubscriptionExecutor<Q, M, S> {
    pub(super) executor: Arc<Executor<Q, M, S>>,
    pub(super) socket: Arc<SocketState>,
}

impl<Q, M, S> Clone for SubscriptionExecutor<Q, M, S> {
    fn clone(&self) -> Self {
        Self {
            executor: Arc::clone(&self.executor),
            socket: Arc::clone(&self.socket),
        }
    }
}

impl<Q, M, S> SubscriptionExecutor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn subscribe(&self, request: Request) -> Result<BoxStream<'static, Response>, Error> {
        let socket = &self.socket;
        let prepared = self.executor.prepare(Operation {
            document: request.query,
            name: request.operation_name,
            variables: request.variables,
        })?;
        if prepared.document.operation_type != OperationType::Subscription {
            let message = "Only subscriptions can be sent over a WebSocket.";
            return Err(Error::GraphqlValidationFailed(message.to_owned()));
        }
        let usage = socket.start_subscription(prepared.bytes())?;
        let request_id = Arc::clone(&socket.request_id);
        let events = (self.executor).subscribe(prepared, socket.authentication(), request_id);
        let confirmation = socket.confirmation();
        let events = events.then(move |event| {
            let confirmation = confirmation.clone();
            async move {
                // An event is sent only after the token has been confirmed to be still valid.
                if let Some(mut confirmation) = confirmation {
                    confirmation.wait().await;
                }
                event
            }
        });
        Ok(with_guard(events.boxed(), usage))
    }

    fn error_response(&self, error: &Error) -> Response {
        request_error_response(error, &self.socket.request_id)
    }
}

impl<Q, M, S> async_graphql::Executor for SubscriptionExecutor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Returns an error, because [`GraphQLWebSocket`](async_graphql_poem::GraphQLWebSocket) calls only
    /// `execute_stream`.
    async fn execute(&self, _: Request) -> Response {
        self.error_response(&Error::internal("a WebSocket operation was not streamed"))
    }

    fn execute_stream(
        &self,
        request: Request,
        _: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        self.subscribe(request).unwrap_or_else(|error| {
            let response = stream::iter([self.error_response(&error)]);
            with_guard(response.boxed(), self.socket.begin_error())
        })
    }
}

/// Returns a stream that keeps `guard` until the stream is dropped.
fn with_guard<T: Send + 'static>(
    stream: BoxStream<'static, Response>,
    guard: T,
) -> BoxStream<'static, Response> {
    let pass = move |response| {
        let _guard = &guard;
        response
    };
    stream.map(pass).boxed()
}

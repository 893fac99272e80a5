//! Subscriptions over WebSockets at `/graphql`, with the protocol graphql-transport-ws.

mod close_reason;
mod handshake;
mod message_stream;
mod messages;
mod protocol;
mod running_subscriptions;
mod socket_state;
mod subscription_executor;

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{ObjectType, SubscriptionType};
use futures_util::FutureExt;
use poem::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::close_reason::CloseReason;
pub(super) use self::handshake::is_upgrade_request;
use self::message_stream::MessageStream;
use self::protocol::Protocol;
use self::socket_state::SocketState;
use self::subscription_executor::SubscriptionExecutor;
use crate::error::Error;
use crate::graphql::execution::OperationExecutor;
use crate::http::connection_metrics::GaugeGuard;
use crate::http::middleware::RequestContext;
use crate::http::server::ConnectionGuard;
use crate::http::state::AppState;

/// The maximum time for a client to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Completes the opening handshake, and starts the task that serves the WebSocket.
pub(super) fn upgrade<Q, M, S>(
    request: &Request,
    context: &RequestContext,
    state: &Arc<AppState>,
    executor: &Arc<OperationExecutor<Q, M, S>>,
) -> Result<Response, Error>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    // Browsers send no preflight request for WebSockets, and let pages of any origin read the
    // messages.
    context.refuse_cross_origin()?;
    let headers = request.headers();
    if let Some(response) = handshake::version_error(headers, &context.id) {
        return Ok(response);
    }
    let accept_key = handshake::accept_key(headers)?;
    let client = context.authentication.client();
    let acquire = |network| {
        let permit = state.socket_limits.per_address.try_acquire(network);
        permit.ok_or(Error::TooManyConnections)
    };
    let address_permit = client.network().map(acquire).transpose()?;
    let upgraded = request.take_upgrade().map_err(|_| {
        let message = "The connection does not support upgrades.";
        Error::BadRequest(message.to_owned())
    })?;
    let connection_guard = request.extensions().get::<ConnectionGuard>().cloned();
    let socket = SocketState::new(Arc::clone(state), context);
    let executor = SubscriptionExecutor {
        executor: Arc::clone(executor),
        socket: Arc::clone(&socket),
    };
    tokio::spawn(async move {
        let _address_permit = address_permit;
        if let Ok(upgraded) = upgraded.await {
            let (limit, budget) = (socket.state.http.body_limit, &socket.state.memory_budget);
            let messages = MessageStream::new(upgraded, limit, budget).await;
            let _open = GaugeGuard::new(&socket.state.metrics.sockets.open);
            serve(messages, socket, executor, connection_guard).await;
        }
    });
    Ok(handshake::switching_protocols(&accept_key))
}

/// Serves a WebSocket until the client disconnects or the server closes it.
async fn serve<Q, M, S>(
    messages: MessageStream,
    socket: Arc<SocketState>,
    executor: SubscriptionExecutor<Q, M, S>,
    mut connection_guard: Option<ConnectionGuard>,
) where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let (init_sender, init_receiver) = oneshot::channel();
    let reason = {
        let protocol = Protocol::new(&messages, executor, init_sender).run();
        let protocol = AssertUnwindSafe(protocol).catch_unwind();
        let shutdown = async {
            match &mut connection_guard {
                Some(guard) => guard.shutdown().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = socket.close_reason(init_receiver) => Some(reason),
            () = shutdown => Some(CloseReason::SHUTDOWN),
            reason = protocol => reason.unwrap_or_else(|_| {
                Error::internal("a subscription panicked").log(&socket.request_id);
                Some(CloseReason::INTERNAL)
            }),
        }
    };
    let code = reason.as_ref().map(|reason| reason.code);
    socket.state.metrics.sockets.count_close(code);
    tracing::debug!(request_id = &*socket.request_id, code, "WebSocket closed");
    if let Some(reason) = reason {
        let _ = timeout(CLOSE_TIMEOUT, messages.close(reason)).await;
    }
}

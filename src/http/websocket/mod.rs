//! Subscriptions over WebSockets at `/graphql`, with the protocol graphql-transport-ws.

mod close_reason;
mod handshake;
mod message_stream;
mod socket_state;
mod subscription_executor;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_graphql::http::WebSocketProtocols;
use async_graphql::{ObjectType, SubscriptionType};
use async_graphql_poem::{GraphQLProtocol, GraphQLWebSocket};
use futures_util::{FutureExt, sink, stream};
use poem::web::websocket::Message;
use poem::{Request, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use self::close_reason::CloseReason;
pub(super) use self::handshake::is_upgrade_request;
use self::message_stream::MessageStream;
use self::socket_state::{InitResult, SocketState};
use self::subscription_executor::SubscriptionExecutor;
use crate::error::Error;
use crate::graphql::execution::Executor;
use crate::http::middleware::RequestContext;
use crate::http::server::ConnectionGuard;
use crate::http::state::AppState;

/// The time between two pings. A client that sends nothing during two intervals is disconnected.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// The maximum time for a client to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Completes the opening handshake, and starts the task that serves the WebSocket.
pub(super) fn upgrade<Q, M, S>(
    request: &Request,
    context: &RequestContext,
    state: &Arc<AppState>,
    executor: &Arc<Executor<Q, M, S>>,
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
    let client = context.authentication.client().clone();
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
    let socket = SocketState::new(Arc::clone(state), client, Arc::clone(&context.id));
    let executor = SubscriptionExecutor {
        executor: Arc::clone(executor),
        socket: Arc::clone(&socket),
    };
    tokio::spawn(async move {
        let _address_permit = address_permit;
        if let Ok(upgraded) = upgraded.await {
            let (limit, budget) = (socket.state.http.body_limit, &socket.state.memory_budget);
            let messages = MessageStream::new(upgraded, limit, budget).await;
            serve(messages, socket, executor, connection_guard).await;
        }
    });
    Ok(handshake::switching_protocols(&accept_key))
}

/// Serves a WebSocket until the client disconnects or the server closes it.
async fn serve<E: async_graphql::Executor>(
    messages: MessageStream,
    socket: Arc<SocketState>,
    executor: E,
    mut connection_guard: Option<ConnectionGuard>,
) {
    let (init_sender, init_receiver) = oneshot::channel();
    let reason = {
        let protocol = run_protocol(&messages, &socket, executor, init_sender);
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
    let code = reason.map(|reason| reason.code);
    tracing::debug!(request_id = &*socket.request_id, code, "WebSocket closed");
    if let Some(reason) = reason {
        let _ = timeout(CLOSE_TIMEOUT, messages.close(reason)).await;
    }
}

/// Runs the protocol graphql-transport-ws. Returns the close reason, or `None` if the client has
/// disconnected.
async fn run_protocol<E: async_graphql::Executor>(
    messages: &MessageStream,
    socket: &Arc<SocketState>,
    executor: E,
    init_sender: oneshot::Sender<InitResult>,
) -> Option<CloseReason> {
    let socket_for_init = Arc::clone(socket);
    let input = |cx: &mut Context<'_>| -> Poll<Option<io::Result<Message>>> {
        // The library polls again after it has taken the error response, so no waker is registered.
        if socket.has_pending_error() {
            return Poll::Pending;
        }
        let message = ready!(messages.poll_message(cx));
        Poll::Ready(message.map(|message| {
            socket.store_id_length(&message);
            Ok(Message::binary(message))
        }))
    };
    // The capacity of 1 makes the library wait until the previous message has been sent.
    let (sender, mut receiver) = mpsc::channel::<Message>(1);
    let output = sink::unfold(sender, |sender, message| async move {
        let sent = sender.send(message).await;
        sent.map(|()| sender).map_err(io::Error::other)
    });
    let protocol = GraphQLProtocol(WebSocketProtocols::GraphQLWS);
    let protocol =
        GraphQLWebSocket::new_with_pair(output, stream::poll_fn(input), executor, protocol)
            .on_connection_init(|payload| socket_for_init.on_connection_init(payload, init_sender))
            .serve();
    let write = async {
        let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_intervals = 0;
        loop {
            let sent = tokio::select! {
                biased;
                message = receiver.recv() => match message {
                    Some(Message::Text(text)) => messages.send(text).await,
                    Some(Message::Close(Some((code, _)))) => {
                        return Some(CloseReason::from_async_graphql(code.into()));
                    }
                    // The library sends no other messages.
                    Some(_) => Ok(()),
                    None => return messages.read_error(),
                },
                _ = pings.tick() => {
                    let has_received = messages.take_has_received();
                    silent_intervals = if has_received { 0 } else { silent_intervals + 1 };
                    if silent_intervals == 2 {
                        return None;
                    }
                    messages.ping().await
                }
            };
            if sent.is_err() {
                return None;
            }
        }
    };
    tokio::select! {
        reason = write => reason,
        never = async { protocol.await; pending::<Infallible>().await } => match never {},
    }
}

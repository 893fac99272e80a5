//! `/graphql` as a WebSocket: subscriptions, by the protocol graphql-transport-ws.

mod close_reason;
mod handshake;
mod messages;
mod subscriptions;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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
pub(super) use self::handshake::is_asked_for;
use self::messages::{Incoming, Messages};
use self::subscriptions::{Initialised, Operations, Socket};
use crate::error::{Error, Forbidden};
use crate::graphql::execution::Executor;
use crate::http::request_context::RequestContext;
use crate::http::server::ConnectionGuard;
use crate::http::{AppState, cors};

/// A client that is not heard of for two of these is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to answer a reason.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes a socket of a request.
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
    let headers = request.headers();
    // No browser asks beforehand, as it does for a POST, and each lets the page read the answers.
    if cors::allowed(headers, &state.http).is_none() && cors::is_foreign(headers) {
        return Err(Forbidden::CrossSite.into());
    }
    if let Some(refusal) = handshake::refuse_version(headers, &context.id) {
        return Ok(refusal);
    }
    let accept = handshake::accept(headers)?;
    let client = context.authentication.client().clone();
    let share = match client.network() {
        Some(network) => {
            let share = state.capacity.sockets_of_address.take(network);
            Some(share.ok_or(Error::TooManyConnections)?)
        }
        None => None,
    };
    let upgraded = request.take_upgrade().map_err(|_| {
        let why = "This connection cannot become a WebSocket.".to_owned();
        Error::BadRequest(why)
    })?;
    let guard = request.extensions().get::<ConnectionGuard>().cloned();
    let socket = Socket::new(Arc::clone(state), client, Arc::clone(&context.id));
    let operations = Operations {
        executor: Arc::clone(executor),
        socket,
    };
    let (limit, budget) = (state.http.body_limit, state.capacity.incomplete.clone());
    tokio::spawn(async move {
        let _share = share;
        if let Ok(upgraded) = upgraded.await {
            let messages = Messages::of(upgraded, limit, budget).await;
            serve(messages, operations, guard).await;
        }
    });
    Ok(handshake::switching_protocols(&accept))
}

/// Runs a socket from its first to its last message.
async fn serve<Q, M, S>(
    messages: Messages,
    operations: Operations<Q, M, S>,
    mut guard: Option<ConnectionGuard>,
) where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let socket = Arc::clone(&operations.socket);
    let (tell, told) = oneshot::channel();
    let reason = {
        let talk = AssertUnwindSafe(talk(&messages, operations, tell)).catch_unwind();
        let stopping = async {
            match &mut guard {
                Some(guard) => guard.stopping().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = watch(told, &socket) => Some(reason),
            () = stopping => Some(CloseReason::STOPPING),
            reason = talk => reason.unwrap_or_else(|_| {
                Error::internal("a subscription panicked").log(&socket.request_id);
                Some(CloseReason::INTERNAL)
            }),
        }
    };
    let code = reason.map(|reason| reason.code);
    tracing::debug!(request_id = &*socket.request_id, code, "socket closed");
    if let Some(reason) = reason {
        let _ = timeout(GOODBYE_TIMEOUT, messages.close(reason)).await;
    }
}

/// Waits until the token of the socket, if it has one, is relied on no longer, or the socket is not used.
async fn watch(told: oneshot::Receiver<Initialised>, socket: &Socket) -> CloseReason {
    let token = match timeout(socket.read_timeout(), told).await {
        Err(_) => return CloseReason::NOT_INITIALISED,
        Ok(Ok(Err(reason))) => return reason,
        Ok(Ok(Ok(token))) => token,
        // The client has gone.
        Ok(Err(_)) => return pending().await,
    };
    let ended = async {
        match token {
            Some(token) => token.ended().await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = ended => match ended {
            Ok(ended) => ended.into(),
            Err(error) => {
                error.log(&socket.request_id);
                (&error).into()
            }
        },
        () = socket.idle() => CloseReason::IDLE,
    }
}

/// Lets the library speak the protocol until it, or the client, has no more to say. Then why, if the
/// client may still listen.
async fn talk<Q, M, S>(
    messages: &Messages,
    operations: Operations<Q, M, S>,
    tell: oneshot::Sender<Initialised>,
) -> Option<CloseReason>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let socket = Arc::clone(&operations.socket);
    let initialised = Arc::clone(&socket);
    let (heard, fault) = (AtomicBool::new(true), OnceLock::new());
    let read = |cx: &mut Context<'_>| -> Poll<Option<io::Result<Message>>> {
        loop {
            // The library reads whatever is there before it answers anything. The refusal is ready, so
            // that it comes back here on its own.
            if socket.has_refused() {
                return Poll::Pending;
            }
            // Nothing is read while a message is sent: a client that does not read gets no more of them.
            let incoming = ready!(messages.poll_read(cx));
            heard.store(true, Ordering::Relaxed);
            match incoming {
                Ok(Incoming::Message(message)) => {
                    socket.reads(&message);
                    return Poll::Ready(Some(Ok(Message::binary(message))));
                }
                Ok(Incoming::Control) => {}
                Ok(Incoming::Closed) => return Poll::Ready(None),
                Err(reason) => {
                    let _ = fault.set(reason);
                    return Poll::Ready(None);
                }
            }
        }
    };
    // Holds one message, until the one before it is sent.
    let (sender, mut answers) = mpsc::channel::<Message>(1);
    let sink = sink::unfold(sender, |sender, message| async move {
        let sent = sender.send(message).await;
        sent.map(|()| sender).map_err(io::Error::other)
    });
    let protocol = GraphQLProtocol(WebSocketProtocols::GraphQLWS);
    let protocol =
        GraphQLWebSocket::new_with_pair(sink, stream::poll_fn(read), operations, protocol)
            .on_connection_init(|payload| initialised.initialise(payload, tell))
            .serve();
    let write = async {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silences = 0;
        loop {
            let sent = tokio::select! {
                biased;
                answer = answers.recv() => match answer {
                    Some(Message::Text(text)) => messages.send(text).await,
                    Some(Message::Close(Some((code, _)))) => {
                        return Some(CloseReason::of_library(code.into()));
                    }
                    // The library sends nothing else.
                    Some(_) => Ok(()),
                    None => return fault.get().copied(),
                },
                _ = pings.tick() => {
                    silences = if heard.swap(false, Ordering::Relaxed) { 0 } else { silences + 1 };
                    if silences == 2 {
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

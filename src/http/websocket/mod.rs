//! `/graphql` as a WebSocket: subscriptions, by the protocol graphql-transport-ws.

mod goodbye;
mod operations;

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::http::WebSocketProtocols;
use async_graphql::{ObjectType, SubscriptionType};
use async_graphql_poem::{GraphQLProtocol, GraphQLWebSocket};
use futures_util::future::pending;
use futures_util::stream::{self, SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt, sink};
use poem::http::{Method, header};
use poem::web::websocket::{Message, WebSocket, WebSocketConfig, WebSocketStream};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use self::goodbye::Goodbye;
use self::operations::{Initialised, Operations, Socket};
use crate::error::{Error, Forbidden};
use crate::graphql::execute::Executor;
use crate::http::context::RequestContext;
use crate::http::server::Lease;
use crate::http::{Door, origin};

const PROTOCOL: &str = "graphql-transport-ws";
/// Each socket has a buffer of this size for as long as it lives.
const BUFFER: usize = 4096;
/// A client that is not heard of for two of these is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to answer a goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

type Outgoing = SplitSink<WebSocketStream, Message>;
type Incoming = SplitStream<WebSocketStream>;

/// Whether a client wants to talk about something else than HTTP.
pub(super) fn is_asked_for(request: &Request) -> bool {
    let upgrade = request.header(header::UPGRADE);
    request.method() == Method::GET
        && upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Makes a socket of a request.
pub(super) async fn upgrade<Q, M, S>(
    request: &Request,
    context: &RequestContext,
    door: &Arc<Door>,
    executor: &Arc<Executor<Q, M, S>>,
) -> Result<Response, Error>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let headers = request.headers();
    // No browser asks beforehand, as it does for a POST, and each lets the page read the answers.
    if origin::allowed(headers, &door.http).is_none() && origin::is_foreign(headers) {
        return Err(Forbidden::CrossSite.into());
    }
    let offered = request.header(header::SEC_WEBSOCKET_PROTOCOL);
    if !offered.is_some_and(|offered| offered.split(',').any(|name| name.trim() == PROTOCOL)) {
        let why = format!("The sub-protocol of the socket has to be {PROTOCOL}.");
        return Err(Error::BadRequest(why));
    }
    let mut no_body = RequestBody::default();
    let Ok(websocket) = WebSocket::from_request(request, &mut no_body).await else {
        let why = "This is not how a WebSocket begins.".to_owned();
        return Err(Error::BadRequest(why));
    };
    let limit = Some(door.http.body_limit);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit);
    let patience = Duration::from_secs(door.http.read_timeout);
    let lease = request.extensions().get::<Lease>().cloned();
    let operations = Operations {
        executor: Arc::clone(executor),
        socket: Socket::new(
            Arc::clone(&door.services),
            context.authentication.origin().clone(),
            Arc::clone(&context.id),
        ),
    };
    let serve = move |stream| serve(stream, operations, patience, lease);
    Ok(websocket
        .protocols([PROTOCOL])
        .config(config)
        .on_upgrade(serve)
        .into_response())
}

/// Runs a socket from its first to its last message.
async fn serve<Q, M, S>(
    stream: WebSocketStream,
    operations: Operations<Q, M, S>,
    patience: Duration,
    mut lease: Option<Lease>,
) where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let socket = Arc::clone(&operations.socket);
    let (mut outgoing, mut incoming) = stream.split();
    let (tell, told) = oneshot::channel();
    let goodbye = {
        let talk = talk(&mut outgoing, &mut incoming, operations, tell);
        let talk = AssertUnwindSafe(talk).catch_unwind();
        let stopping = async {
            match &mut lease {
                Some(lease) => lease.stopping().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            goodbye = watch(told, patience, &socket.request_id) => Some(goodbye),
            () = stopping => Some(Goodbye::STOPPING),
            goodbye = talk => goodbye.unwrap_or_else(|_| {
                Error::internal("a subscription panicked").log(&socket.request_id);
                Some(Goodbye::INTERNAL)
            }),
        }
    };
    let code = goodbye.map(|goodbye| goodbye.code);
    tracing::debug!(request_id = &*socket.request_id, code, "socket closed");
    if let Some(goodbye) = goodbye {
        let said = say(&mut outgoing, &mut incoming, goodbye);
        let _ = timeout(GOODBYE_TIMEOUT, said).await;
    }
}

/// Closes the socket, and reads on until the client has answered: what is left unread would reset the
/// connection, maybe before the client has read why.
async fn say(outgoing: &mut Outgoing, incoming: &mut Incoming, goodbye: Goodbye) {
    let close = Message::close_with(goodbye.code, goodbye.reason);
    if outgoing.send(close).await.is_ok() {
        while let Some(Ok(_)) = incoming.next().await {}
        if goodbye == Goodbye::TOO_LARGE {
            // The rest of that message is never read.
            sleep(GOODBYE_TIMEOUT).await;
        }
    }
}

/// Waits until the token of the socket, if it has one, is relied on no longer.
async fn watch(
    told: oneshot::Receiver<Initialised>,
    patience: Duration,
    request_id: &str,
) -> Goodbye {
    match timeout(patience, told).await {
        Err(_) => Goodbye::NOT_INITIALISED,
        Ok(Ok(Ok(Some(token)))) => match token.ended().await {
            Ok(ended) => ended.into(),
            Err(error) => {
                error.log(request_id);
                (&error).into()
            }
        },
        Ok(Ok(Err(goodbye))) => goodbye,
        // Nobody is signed in, or the client has gone.
        Ok(Ok(Ok(None)) | Err(_)) => pending().await,
    }
}

/// Lets the library speak the protocol until it, or the client, has no more to say. Then why, if the
/// client may still listen.
async fn talk<Q, M, S>(
    outgoing: &mut Outgoing,
    incoming: &mut Incoming,
    operations: Operations<Q, M, S>,
    tell: oneshot::Sender<Initialised>,
) -> Option<Goodbye>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let socket = Arc::clone(&operations.socket);
    let initialised = Arc::clone(&socket);
    let (heard, fault) = (AtomicBool::new(true), OnceLock::new());
    let read = |cx: &mut Context<'_>| {
        // The library reads whatever is there before it answers anything. The refusal is ready, so
        // that it comes back here on its own.
        if socket.has_refused() {
            return Poll::Pending;
        }
        let message = incoming.poll_next_unpin(cx);
        if let Poll::Ready(Some(message)) = &message {
            heard.store(true, Ordering::Relaxed);
            if let Err(error) = message {
                let _ = fault.set(Goodbye::to_fault(error));
            }
        }
        message
    };
    // Holds one message: whoever does not read gets no more of them.
    let (sender, mut messages) = mpsc::channel::<Message>(1);
    let sink = sink::unfold(sender, |sender, message| async move {
        let sent = sender.send(message).await;
        sent.map(|()| sender).map_err(io::Error::other)
    });
    let protocol = GraphQLProtocol(WebSocketProtocols::GraphQLWS);
    let speaking =
        GraphQLWebSocket::new_with_pair(sink, stream::poll_fn(read), operations, protocol)
            .on_connection_init(|payload| initialised.initialise(payload, tell))
            .serve();
    let writing = async {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silences = 0;
        loop {
            let message = tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(Message::Close(Some((code, _)))) => return Some(Goodbye::of_library(code)),
                    Some(message) => message,
                    None => return fault.get().copied(),
                },
                _ = pings.tick() => {
                    silences = if heard.swap(false, Ordering::Relaxed) { 0 } else { silences + 1 };
                    if silences == 2 {
                        return None;
                    }
                    Message::ping([])
                }
            };
            if outgoing.send(message).await.is_err() {
                return None;
            }
        }
    };
    tokio::select! {
        goodbye = writing => goodbye,
        never = async { speaking.await; pending::<Infallible>().await } => match never {},
    }
}

//! What is asked on a socket: subscriptions, through the same checks and limits as all else.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Data, ObjectType, Request, Response, Result, SubscriptionType};
use futures_util::StreamExt;
use futures_util::future::pending;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::close_reason::CloseReason;
use crate::error::Error;
use crate::graphql::errors::refused;
use crate::graphql::execution::{Executor, Operation};
use crate::http::AppState;
use crate::http::authorization_header;
use crate::http::capacity::Share;
use crate::model::audit_event::Client;
use crate::model::credentials::Credentials;
use crate::model::user::UserId;
use crate::service::authentication::Authentication;
use crate::service::token_watch::{Confirmation, TokenWatch};

/// Subscriptions at once on one socket.
const MOST_SUBSCRIPTIONS: usize = 20;
/// The memory that the subscriptions of one socket may keep: 20 documents of 50 tokens, or one of a
/// thousand.
const MOST_BYTES: usize = 512 * 1024;
/// In a message of this size the id is not looked for: it cannot be long.
const SHORT_MESSAGE: usize = 1024;
/// A socket without a subscription is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// What came of `connection_init`: the token of the socket, if it has one.
pub(super) type Initialised = Result<Option<TokenWatch>, CloseReason>;

/// What all operations of a socket have in common.
pub(super) struct Socket {
    state: Arc<AppState>,
    origin: Client,
    pub(super) request_id: Arc<str>,
    /// Known once the connection is initialised.
    credentials: OnceLock<Credentials>,
    /// Of the token, if there is one.
    confirmation: OnceLock<Confirmation>,
    /// Of the sockets that the account of the token may have.
    share: OnceLock<Share<UserId>>,
    running: watch::Sender<Running>,
    /// The length of the id in the message that was read last, at most.
    id: AtomicUsize,
    /// The number of refusals that have not been sent.
    refusals: AtomicUsize,
}

/// The subscriptions of a socket, and the memory that they keep.
#[derive(Debug, Default)]
struct Running {
    count: usize,
    bytes: usize,
}

/// A subscription of a socket, until it is dropped.
struct Subscription {
    socket: Arc<Socket>,
    bytes: usize,
}

impl Subscription {
    fn start(socket: &Arc<Socket>) -> Result<Self, Error> {
        let started = socket.running.send_if_modified(|running| {
            let may_start = running.count < MOST_SUBSCRIPTIONS;
            running.count += usize::from(may_start);
            may_start
        });
        if !started {
            return Err(Error::LimitExceeded("subscriptionsPerSocket"));
        }
        Ok(Self {
            socket: Arc::clone(socket),
            bytes: 0,
        })
    }

    /// Notes the memory that it keeps.
    fn keep(&mut self, bytes: usize) -> Result<(), Error> {
        let kept = self.socket.running.send_if_modified(|running| {
            let may_keep = running.bytes.saturating_add(bytes) <= MOST_BYTES;
            if may_keep {
                running.bytes += bytes;
            }
            may_keep
        });
        if !kept {
            return Err(Error::LimitExceeded("subscriptionBytesPerSocket"));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.socket.running.send_modify(|running| {
            running.count -= 1;
            running.bytes -= self.bytes;
        });
    }
}

/// A refusal that has not been sent, until it is dropped.
struct Refusal(Arc<Socket>);

impl Refusal {
    fn of(socket: &Arc<Socket>) -> Self {
        socket.refusals.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(socket))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Socket {
    pub(super) fn new(state: Arc<AppState>, origin: Client, request_id: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            state,
            origin,
            request_id,
            credentials: OnceLock::new(),
            confirmation: OnceLock::new(),
            share: OnceLock::new(),
            running: watch::Sender::default(),
            id: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
        })
    }

    /// How long a client may take to send `connection_init`.
    pub(super) fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.state.http.read_timeout)
    }

    /// Whether an operation was refused and its client does not know yet.
    pub(super) fn has_refused(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) > 0
    }

    /// Notes the id in the message that is read now: the library keeps it without passing it on.
    pub(super) fn reads(&self, message: &[u8]) {
        #[derive(Deserialize)]
        struct Subscribe<'a> {
            #[serde(borrow, default)]
            id: Cow<'a, str>,
        }
        let id = if message.len() <= SHORT_MESSAGE {
            message.len()
        } else {
            // The library refuses what is malformed.
            let subscribe = serde_json::from_slice::<Subscribe<'_>>(message);
            subscribe.map_or(message.len(), |subscribe| subscribe.id.len())
        };
        self.id.store(id, Ordering::Relaxed);
    }

    /// Waits until the socket has been without a subscription for too long.
    pub(super) async fn idle(&self) {
        let mut running = self.running.subscribe();
        loop {
            // The sender is part of this socket.
            let _ = running.wait_for(|running| running.count == 0).await;
            let begins = running.wait_for(|running| running.count > 0);
            if timeout(IDLE_TIMEOUT, begins).await.is_err() {
                return;
            }
        }
    }

    /// Takes the credentials that the client sends in `connection_init`, and passes on what is to be
    /// watched. With a token that is not valid nothing comes after it: the socket is about to close.
    pub(super) async fn initialise(
        self: Arc<Self>,
        payload: Value,
        tell: oneshot::Sender<Initialised>,
    ) -> Result<Data> {
        // Clients name it like the header, which knows no case.
        let given = (payload.get("authorization")).or_else(|| payload.get("Authorization"));
        let credentials = given
            .and_then(Value::as_str)
            .map_or(Credentials::None, authorization_header::parse);
        let initialised = match &credentials {
            Credentials::Bearer(token) => {
                let watches = &self.state.services.token_watches;
                match watches.start(token.clone()).await {
                    Ok(started) => started.map_err(CloseReason::from).and_then(|token| {
                        let sockets = &self.state.capacity.sockets_of_account;
                        let share = sockets
                            .take(token.user())
                            .ok_or(CloseReason::TOO_MANY_SOCKETS)?;
                        let _ = self.share.set(share);
                        Ok(Some(token))
                    }),
                    Err(error) => {
                        error.log(&self.request_id);
                        Err((&error).into())
                    }
                }
            }
            Credentials::None | Credentials::Basic(_) => Ok(None),
        };
        let is_ready = initialised.is_ok();
        if let Ok(Some(token)) = &initialised {
            let _ = self.confirmation.set(token.confirmation());
        }
        // There is one connection_init, and whoever waits for it lives as long as the socket.
        let _ = self.credentials.set(credentials);
        let _ = tell.send(initialised);
        if is_ready {
            Ok(Data::default())
        } else {
            pending().await
        }
    }

    /// The credentials of one more operation, which looks for itself who they speak for.
    fn authentication(&self) -> Authentication {
        let credentials = self.credentials.get().cloned().unwrap_or_default();
        let authenticator = Arc::clone(&self.state.services.authenticator);
        Authentication::new(authenticator, credentials, self.origin.clone())
    }
}

/// Answers the operations of a socket.
pub(super) struct Operations<Q, M, S> {
    pub(super) executor: Arc<Executor<Q, M, S>>,
    pub(super) socket: Arc<Socket>,
}

impl<Q, M, S> Clone for Operations<Q, M, S> {
    fn clone(&self) -> Self {
        Self {
            executor: Arc::clone(&self.executor),
            socket: Arc::clone(&self.socket),
        }
    }
}

impl<Q, M, S> Operations<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn subscribe(&self, request: Request) -> Result<BoxStream<'static, Response>, Error> {
        let mut subscription = Subscription::start(&self.socket)?;
        let prepared = self.executor.prepare(Operation {
            document: request.query,
            name: request.operation_name,
            variables: request.variables,
        })?;
        if prepared.document.operation_type != OperationType::Subscription {
            let why = "There are only subscriptions on the socket. Send this over HTTP.";
            return Err(Error::GraphqlValidationFailed(why.to_owned()));
        }
        subscription.keep(prepared.bytes() + self.socket.id.load(Ordering::Relaxed))?;
        let authentication = self.socket.authentication();
        let request_id = Arc::clone(&self.socket.request_id);
        let events = self
            .executor
            .subscribe(prepared, authentication, request_id);
        let confirmation = self.socket.confirmation.get().cloned();
        let events = events.then(move |event| {
            let confirmation = confirmation.clone();
            async move {
                // No event is sent while it is not known whether the token is still valid.
                if let Some(mut confirmation) = confirmation {
                    confirmation.wait().await;
                }
                event
            }
        });
        Ok(holding(subscription, events.boxed()))
    }

    fn refuse(&self, error: &Error) -> Response {
        refused(error, &self.socket.request_id)
    }
}

/// What the library asks for each operation.
impl<Q, M, S> async_graphql::Executor for Operations<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Nothing on a socket is asked this way.
    async fn execute(&self, _: Request) -> Response {
        self.refuse(&Error::internal("an operation of a socket is no stream"))
    }

    fn execute_stream(
        &self,
        request: Request,
        _: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        self.subscribe(request).unwrap_or_else(|error| {
            let refusal = stream::iter([self.refuse(&error)]);
            holding(Refusal::of(&self.socket), refusal.boxed())
        })
    }
}

/// A stream that holds something for as long as it lives.
fn holding<T: Send + 'static>(
    held: T,
    stream: BoxStream<'static, Response>,
) -> BoxStream<'static, Response> {
    let item = move |response| {
        let _held = &held;
        response
    };
    stream.map(item).boxed()
}

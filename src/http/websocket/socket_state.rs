//! The state of one WebSocket: its token, its subscriptions, and the reasons for closing the WebSocket.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::Data;
use futures_util::future::pending;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::close_reason::CloseReason;
use crate::error::Error;
use crate::http::authorization_header;
use crate::http::connection_limits::KeyedPermit;
use crate::http::state::AppState;
use crate::model::client::Client;
use crate::model::request_credentials::Credentials;
use crate::model::user::UserId;
use crate::service::request_authentication::Authentication;
use crate::service::token_watch::{Confirmation, TokenWatch};

/// The maximum number of concurrent subscriptions of a WebSocket.
const MAX_SUBSCRIPTIONS: usize = 20;
/// The maximum memory of all concurrent subscriptions of a WebSocket, in bytes. This is enough for 20
/// documents of 50 tokens each, or for one document of 1,000 tokens.
const MAX_SUBSCRIPTION_BYTES: usize = 512 * 1024;
/// The time without a subscription after which a WebSocket is closed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The result of `connection_init`. If the client sent a token, the result contains the watch of the
/// token.
pub(super) type InitResult = Result<Option<TokenWatch>, CloseReason>;

/// The state that all operations of a WebSocket share.
pub(super) struct SocketState {
    pub(super) state: Arc<AppState>,
    client: Client,
    pub(super) request_id: Arc<str>,
    initialised: OnceLock<Initialised>,
    usage: watch::Sender<Usage>,
    id_bytes: AtomicUsize,
    error_permit: Arc<Semaphore>,
}

/// The data that an accepted `connection_init` determines.
struct Initialised {
    credentials: Credentials,
    /// The confirmation that the token is still valid. `None` if the client sent no token.
    confirmation: Option<Confirmation>,
    _user_permit: Option<KeyedPermit<UserId>>,
}

/// The resources that the running subscriptions of a WebSocket use.
#[derive(Debug, Default)]
struct Usage {
    subscriptions: usize,
    bytes: usize,
}

/// The share of one subscription in the [`Usage`]. Dropping the guard subtracts this share.
pub(super) struct UsageGuard {
    socket: Arc<SocketState>,
    bytes: usize,
}

impl Drop for UsageGuard {
    fn drop(&mut self) {
        self.socket.usage.send_modify(|usage| {
            usage.subscriptions -= 1;
            usage.bytes -= self.bytes;
        });
    }
}

impl SocketState {
    pub(super) fn new(state: Arc<AppState>, client: Client, request_id: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            state,
            client,
            request_id,
            initialised: OnceLock::new(),
            usage: watch::Sender::default(),
            id_bytes: AtomicUsize::new(0),
            error_permit: Arc::new(Semaphore::new(1)),
        })
    }

    /// Handles `connection_init`, and sends the result to the receiver. If the result is a close reason,
    /// the function does not return, because the WebSocket is then closed.
    pub(super) async fn on_connection_init(
        self: Arc<Self>,
        payload: Value,
        result: oneshot::Sender<InitResult>,
    ) -> async_graphql::Result<Data> {
        // The field is named after the header, whose name is case-insensitive.
        let authorization = payload.get("authorization");
        let authorization = authorization.or_else(|| payload.get("Authorization"));
        let credentials = authorization.and_then(Value::as_str);
        let credentials = credentials.map_or(Credentials::None, authorization_header::parse);
        let initialised = self.initialise(credentials).await;
        let is_accepted = initialised.is_ok();
        // An error is ignored, because sending fails only if the WebSocket has closed.
        let _ = result.send(initialised);
        if is_accepted {
            Ok(Data::default())
        } else {
            pending().await
        }
    }

    async fn initialise(&self, credentials: Credentials) -> InitResult {
        let (token, user_permit) = match &credentials {
            Credentials::Bearer(token) => {
                let watches = &self.state.services.token_watches;
                let started = watches.start(token.clone()).await;
                let token = started.map_err(|error| self.log_and_close(&error))??;
                let sockets = &self.state.socket_limits.per_user;
                let permit = sockets.try_acquire(token.user());
                (
                    Some(token),
                    Some(permit.ok_or(CloseReason::TOO_MANY_SOCKETS)?),
                )
            }
            Credentials::None | Credentials::Malformed | Credentials::Basic(_) => (None, None),
        };
        // The library calls this function only once for each WebSocket.
        let _ = self.initialised.set(Initialised {
            credentials,
            confirmation: token.as_ref().map(TokenWatch::confirmation),
            _user_permit: user_permit,
        });
        Ok(token)
    }

    /// Waits until the WebSocket must be closed, and returns the reason. A WebSocket is closed if
    /// `connection_init` failed or was not received in time, if the token has expired or was revoked, or if
    /// there has been no subscription for [`IDLE_TIMEOUT`].
    pub(super) async fn close_reason(&self, result: oneshot::Receiver<InitResult>) -> CloseReason {
        let token = match timeout(self.state.read_timeout(), result).await {
            Ok(Ok(Ok(token))) => token,
            Ok(Ok(Err(reason))) => return reason,
            // The client has disconnected.
            Ok(Err(_)) => return pending().await,
            Err(_) => return CloseReason::INIT_TIMEOUT,
        };
        let token_end = async {
            match token {
                Some(token) => token.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            end = token_end => end.map_or_else(|error| self.log_and_close(&error), CloseReason::from),
            () = self.idle() => CloseReason::IDLE,
        }
    }

    /// Logs an error. Returns the close reason for the error.
    fn log_and_close(&self, error: &Error) -> CloseReason {
        error.log(&self.request_id);
        error.into()
    }

    /// Waits until there has been no subscription for [`IDLE_TIMEOUT`].
    async fn idle(&self) {
        let mut usage = self.usage.subscribe();
        loop {
            // This call does not fail, because the sender is a part of `self`.
            let _ = usage.wait_for(|usage| usage.subscriptions == 0).await;
            let start = usage.wait_for(|usage| usage.subscriptions > 0);
            if timeout(IDLE_TIMEOUT, start).await.is_err() {
                return;
            }
        }
    }

    /// Stores the length of the operation id in a message. The library keeps the id of a subscription in
    /// memory, but does not pass the id to the executor.
    pub(super) fn store_id_length(&self, message: &[u8]) {
        #[derive(Deserialize)]
        struct Subscribe<'a> {
            #[serde(borrow, default)]
            id: Cow<'a, str>,
        }
        let subscribe = serde_json::from_slice::<Subscribe<'_>>(message);
        let length = subscribe.map_or(message.len(), |subscribe| subscribe.id.len());
        self.id_bytes.store(length, Ordering::Relaxed);
    }

    /// Counts a new subscription that uses `bytes` bytes in addition to its id. Returns an error if a limit
    /// is exceeded.
    pub(super) fn start_subscription(self: &Arc<Self>, bytes: usize) -> Result<UsageGuard, Error> {
        let bytes = bytes + self.id_bytes.load(Ordering::Relaxed);
        {
            // Only the task of this WebSocket increases the usage, so the check and the increase need not be
            // atomic.
            let usage = self.usage.borrow();
            if usage.subscriptions == MAX_SUBSCRIPTIONS {
                return Err(Error::LimitExceeded("subscriptionsPerSocket"));
            }
            if usage.bytes.saturating_add(bytes) > MAX_SUBSCRIPTION_BYTES {
                return Err(Error::LimitExceeded("subscriptionBytesPerSocket"));
            }
        }
        self.usage.send_modify(|usage| {
            usage.subscriptions += 1;
            usage.bytes += bytes;
        });
        Ok(UsageGuard {
            socket: Arc::clone(self),
            bytes,
        })
    }

    /// Marks the error response to an operation as pending until the returned permit is dropped.
    pub(super) fn begin_error(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.error_permit).try_acquire_owned().ok()
    }

    /// Returns whether an error response has not been written yet. Until the response has been written, no
    /// message is read. Otherwise, the library would read all available messages before it writes a
    /// response, and would accumulate responses.
    pub(super) fn has_pending_error(&self) -> bool {
        self.error_permit.available_permits() == 0
    }

    /// Creates the authentication of one operation.
    pub(super) fn authentication(&self) -> Authentication {
        let initialised = self.initialised.get();
        let credentials = initialised.map(|initialised| initialised.credentials.clone());
        let authenticator = Arc::clone(&self.state.services.authenticator);
        Authentication::new(
            authenticator,
            credentials.unwrap_or_default(),
            self.client.clone(),
        )
    }

    /// Returns the confirmation that the token is still valid, or `None` if the client sent no token.
    pub(super) fn confirmation(&self) -> Option<Confirmation> {
        self.initialised.get()?.confirmation.clone()
    }
}

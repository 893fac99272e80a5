//! The state of one WebSocket: its token, its subscriptions, and the reasons for closing the WebSocket.

use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::close_reason::CloseReason;
use crate::error::Error;
use crate::http::authorization_header;
use crate::http::connection_limits::KeyedPermit;
use crate::http::connection_metrics::GaugeGuard;
use crate::http::middleware::RequestContext;
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

/// The state that all operations of a WebSocket share.
pub(super) struct SocketState {
    pub(super) state: Arc<AppState>,
    client: Client,
    pub(super) request_id: Arc<str>,
    /// The credentials in the header `Authorization` of the upgrade request.
    upgrade_credentials: Credentials,
    initialised: OnceLock<Initialised>,
    usage: watch::Sender<Usage>,
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
    _running: GaugeGuard,
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
    /// Creates the state of the WebSocket that `upgrade` requests.
    pub(super) fn new(state: Arc<AppState>, upgrade: &RequestContext) -> Arc<Self> {
        Arc::new(Self {
            state,
            client: upgrade.authentication.client().clone(),
            request_id: Arc::clone(&upgrade.id),
            upgrade_credentials: upgrade.authentication.credentials().clone(),
            initialised: OnceLock::new(),
            usage: watch::Sender::default(),
        })
    }

    /// Handles the payload of `connection_init`. Returns the watch of the token if the client sent a token.
    ///
    /// The token in the payload takes precedence over the token in the header of the upgrade request. Browsers cannot
    /// set this header for a WebSocket, but can add Basic credentials that belong to a proxy. Therefore, only a Bearer
    /// token is read from the header.
    pub(super) async fn initialise(
        &self,
        payload: &Map<String, Value>,
    ) -> Result<Option<TokenWatch>, CloseReason> {
        let credentials = match (payload_credentials(payload), &self.upgrade_credentials) {
            (Credentials::None, header @ Credentials::Bearer(_)) => header.clone(),
            (payload, _) => payload,
        };
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
        // This function is called only once for each WebSocket.
        let _ = self.initialised.set(Initialised {
            credentials,
            confirmation: token.as_ref().map(TokenWatch::confirmation),
            _user_permit: user_permit,
        });
        Ok(token)
    }

    /// Waits until the WebSocket must be closed, and returns the reason. A WebSocket is closed if
    /// `connection_init` was not received in time, if the token has expired or was revoked, or if there has been
    /// no subscription for [`IDLE_TIMEOUT`]. `initialised` receives the result of [`Self::initialise`].
    pub(super) async fn close_reason(
        &self,
        initialised: oneshot::Receiver<Option<TokenWatch>>,
    ) -> CloseReason {
        let token = match timeout(self.state.read_timeout(), initialised).await {
            Ok(Ok(token)) => token,
            // The client has disconnected, or `connection_init` failed.
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

    /// Counts a new subscription that uses `bytes` bytes. Returns an error if a limit is exceeded.
    pub(super) fn start_subscription(self: &Arc<Self>, bytes: usize) -> Result<UsageGuard, Error> {
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
            _running: GaugeGuard::new(&self.state.metrics.sockets.subscriptions),
        })
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

/// Returns the credentials in the payload of `connection_init`: the first valid value of the field `authorization`, and
/// then of the field `authorization` of `headers`. The field is named after the header. Therefore, its case is ignored.
fn payload_credentials(payload: &Map<String, Value>) -> Credentials {
    let headers = payload.get("headers").and_then(Value::as_object);
    let fields = payload.iter().chain(headers.into_iter().flatten());
    let values = fields.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let parsed = values.filter_map(|(_, value)| Some(authorization_header::parse(value.as_str()?)));
    let mut valid = parsed.filter(|credentials| !matches!(credentials, Credentials::None));
    valid.next().unwrap_or_default()
}

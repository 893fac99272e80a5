//! What is asked on a socket: subscriptions, through the same checks and limits as all else.

use std::sync::{Arc, OnceLock};

use async_graphql::parser::types::OperationType;
use async_graphql::{Data, ObjectType, Request, Response, Result, SubscriptionType};
use futures_util::StreamExt;
use futures_util::future::pending;
use futures_util::stream::{self, BoxStream};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use super::goodbye::Goodbye;
use crate::error::Error;
use crate::graphql::errors::refused;
use crate::graphql::execute::{Executor, Operation};
use crate::http::authorization;
use crate::model::audit::Origin;
use crate::model::credentials::Credentials;
use crate::service::Services;
use crate::service::authentication::Authentication;
use crate::service::watch::{Confirmation, TokenWatch};

/// Subscriptions at once on one socket.
const MOST_SUBSCRIPTIONS: usize = 20;

/// What came of `connection_init`: the token of the socket, if it has one.
pub(super) type Initialised = Result<Option<TokenWatch>, Goodbye>;

/// What all operations of a socket have in common.
pub(super) struct Socket {
    services: Arc<Services>,
    origin: Origin,
    pub(super) request_id: Arc<str>,
    /// Known once the connection is initialised.
    credentials: OnceLock<Credentials>,
    /// Of the token, if there is one.
    confirmation: OnceLock<Confirmation>,
    running: Arc<Semaphore>,
    /// Its clones are operations whose refusal is not sent yet.
    refused: Arc<()>,
}

impl Socket {
    pub(super) fn new(services: Arc<Services>, origin: Origin, request_id: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            services,
            origin,
            request_id,
            credentials: OnceLock::new(),
            confirmation: OnceLock::new(),
            running: Arc::new(Semaphore::new(MOST_SUBSCRIPTIONS)),
            refused: Arc::new(()),
        })
    }

    /// Whether an operation was refused and its client does not know yet.
    pub(super) fn has_refused(&self) -> bool {
        Arc::strong_count(&self.refused) > 1
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
            .map_or(Credentials::None, authorization::parse);
        let initialised = match &credentials {
            Credentials::Bearer(token) => {
                match TokenWatch::start(Arc::clone(&self.services), token.clone()).await {
                    Ok(started) => started.map(Some).map_err(Goodbye::from),
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
        let services = Arc::clone(&self.services);
        Authentication::new(services, credentials, self.origin.clone())
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
        let permit = Arc::clone(&self.socket.running).try_acquire_owned();
        let permit = permit.map_err(|_| Error::LimitExceeded("subscriptionsPerSocket"))?;
        let prepared = self.executor.prepare(Operation {
            document: request.query,
            name: request.operation_name,
            variables: request.variables,
        })?;
        if prepared.document.operation_type != OperationType::Subscription {
            let why = "There are only subscriptions on the socket. Send this over HTTP.";
            return Err(Error::GraphqlValidationFailed(why.to_owned()));
        }
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
        Ok(holding(permit, events.boxed()))
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
            holding(Arc::clone(&self.socket.refused), refusal.boxed())
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

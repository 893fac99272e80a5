//! Executes the operations that other servers than poem receive.

use std::any::TypeId;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{
    BatchRequest, BatchResponse, Data, ObjectType, Request, Response, SubscriptionType, Variables,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::error::{Error, Forbidden, Unauthenticated};
use crate::graphql::errors::request_error_response;
use crate::graphql::execution::{Operation, OperationExecutor, Prepared};
use crate::model::client::Client;
use crate::model::request_credentials::Credentials;
use crate::service::Services;
use crate::service::request_authentication::Authentication;
use crate::service::requester::Requester;
use crate::service::token_watch::{Confirmation, TokenEnd};

/// Executes the operations of a schema on any server that uses [`async_graphql::Executor`], for example
/// `async-graphql-axum`. Created by [`Symbolon::executor`](crate::Symbolon::executor).
///
/// Operations have the same limits, validation, guards, time limit and error codes as those of
/// [`Symbolon::graphql`](crate::Symbolon::graphql). The limits on connections, bodies and WebSockets, and the refusal of
/// requests from pages of other origins, belong to the server. A mutation must not be accepted as a `GET` request. The server
/// must accept only the media type `application/json`: pages of other origins can send other types without permission. The
/// extractor `GraphQLRequest` of `async-graphql-axum` accepts each type.
///
/// The credentials of an operation are those of the [`Requester`] in the data of the request, or else in the session data
/// of a WebSocket. An operation without a requester has no credentials. Each operation of a WebSocket verifies the
/// credentials again.
///
/// A subscription requires a Bearer token or no credentials. A subscription with a Bearer token ends when the token expires or is revoked, or when the role of the user changes. Its
/// last event is then the error `UNAUTHENTICATED` or `FORBIDDEN`. Each event is delivered only after the token has been
/// confirmed to be still valid, as at Symbolon's own endpoint.
///
/// Batches of operations and uploads are not supported.
///
/// ```
/// use symbolon::async_graphql::{EmptySubscription, Executor, MergedObject, Request};
/// use symbolon::{Client, Mutation, Symbolon};
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query);
///
/// async fn me(symbolon: &Symbolon, authorization: Option<&str>) -> String {
///     let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription);
///     let executor = symbolon.executor(schema.finish());
///     let requester = symbolon.requester(authorization, Client::default());
///     let request = Request::new("{ me { username } }").data(requester);
///     executor.execute(request).await.data.to_string()
/// }
/// ```
pub struct Executor<Q, M, S> {
    services: Arc<Services>,
    operations: Arc<OperationExecutor<Q, M, S>>,
}

impl<Q, M, S> Clone for Executor<Q, M, S> {
    fn clone(&self) -> Self {
        Self {
            services: Arc::clone(&self.services),
            operations: Arc::clone(&self.operations),
        }
    }
}

/// The caller of an operation.
struct Caller {
    authentication: Authentication,
    request_id: Arc<str>,
}

impl<Q, M, S> Executor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(crate) fn new(
        services: Arc<Services>,
        operations: Arc<OperationExecutor<Q, M, S>>,
    ) -> Self {
        Self {
            services,
            operations,
        }
    }

    /// Returns the caller that the data of the request or the session data contain.
    fn caller(&self, request: &Data, session: Option<&Data>) -> Result<Caller, Error> {
        let of_session = || {
            session
                .and_then(requester_in)
                .map(Requester::for_new_request)
        };
        let requester = requester_in(request).cloned().or_else(of_session);
        let requester = requester.unwrap_or_else(|| {
            let services = Arc::clone(&self.services);
            Requester::with_credentials(services, Credentials::None, Client::default())
        });
        let authentication = requester.into_authentication();
        // The guards would accept the users of the other instance.
        if !authentication.belongs_to(&self.services.authenticator) {
            return Err(Error::internal("the requester belongs to another instance"));
        }
        let request_id = authentication.client().request_id.clone();
        Ok(Caller {
            request_id: request_id.unwrap_or_else(|| "none".into()),
            authentication,
        })
    }

    fn prepare(&self, mut request: Request, session: Option<Arc<Data>>) -> Result<Prepared, Error> {
        if request.query.is_empty() && request.extensions.contains_key("persistedQuery") {
            return Err(Error::PersistedQueryNotSupported);
        }
        let operation = Operation {
            document: std::mem::take(&mut request.query),
            name: request.operation_name.take(),
            variables: std::mem::take::<Variables>(&mut request.variables),
        };
        let mut prepared = self.operations.prepare(operation)?;
        prepared.request = request;
        prepared.session = session;
        Ok(prepared)
    }

    async fn run(&self, caller: Caller, prepared: Prepared) -> Response {
        let Caller {
            authentication,
            request_id,
        } = caller;
        // The requester may be older than this operation.
        authentication.refresh().await;
        let executed = self
            .operations
            .execute(prepared, authentication, &request_id);
        executed.await.response
    }

    /// Executes a query or a mutation.
    async fn execute_once(&self, request: Request) -> Response {
        let caller = match self.caller(&request.data, None) {
            Ok(caller) => caller,
            Err(error) => return request_error_response(&error, "none"),
        };
        let prepared = self.prepare(request, None).and_then(|prepared| {
            if prepared.document.operation_type == OperationType::Subscription {
                let message = "Subscriptions require a WebSocket.".to_owned();
                return Err(Error::GraphqlValidationFailed(message));
            }
            Ok(prepared)
        });
        match prepared {
            Ok(prepared) => self.run(caller, prepared).await,
            Err(error) => request_error_response(&error, &caller.request_id),
        }
    }

    /// Executes an operation of a WebSocket. A query or a mutation has one event.
    async fn start(
        self,
        request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let caller = match self.caller(&request.data, session.as_deref()) {
            Ok(caller) => caller,
            Err(error) => return single(request_error_response(&error, "none")),
        };
        let request_id = Arc::clone(&caller.request_id);
        let prepared = match self.prepare(request, session) {
            Ok(prepared) => prepared,
            Err(error) => return single(request_error_response(&error, &request_id)),
        };
        if prepared.document.operation_type != OperationType::Subscription {
            return single(self.run(caller, prepared).await);
        }
        match self.watch(&caller.authentication).await {
            Ok(watch) => {
                let Caller { authentication, .. } = caller;
                let events =
                    (self.operations).subscribe(prepared, authentication, Arc::clone(&request_id));
                match watch {
                    Some(watch) => while_valid(events.boxed(), watch, request_id),
                    None => events.boxed(),
                }
            }
            Err(error) => single(request_error_response(&error, &request_id)),
        }
    }

    /// Starts to watch the Bearer token of a subscription. Returns `None` if the caller has none.
    async fn watch(&self, authentication: &Authentication) -> Result<Option<Watch>, Error> {
        let token = match authentication.credentials() {
            Credentials::Bearer(token) => token,
            Credentials::None => return Ok(None),
            // The watch of a token ends a subscription. There is no watch of a password.
            Credentials::Basic(_) | Credentials::Malformed => {
                return Err(Unauthenticated::NotBearer.into());
            }
        };
        authentication.refresh().await;
        // The error of an invalid token is more precise than the end of its watch.
        authentication.identity().await?;
        let started = self.services.token_watches.start(token.clone()).await?;
        let watch = started.map_err(end_error)?;
        let confirmation = watch.confirmation();
        let end = watch
            .ended()
            .map(|end| end.map_or_else(|error| error, end_error));
        Ok(Some(Watch {
            confirmation,
            end: end.boxed(),
        }))
    }
}

/// The watch of the token of a subscription.
struct Watch {
    confirmation: Confirmation,
    /// The error for the last event. The future completes when the token ends.
    end: BoxFuture<'static, Error>,
}

/// Returns the events until the token ends. Each event is delivered only after the token has been confirmed to be still
/// valid. After the end of the token, the last event contains the error.
fn while_valid(
    events: BoxStream<'static, Response>,
    watch: Watch,
    request_id: Arc<str>,
) -> BoxStream<'static, Response> {
    let next = move |state: Option<(BoxStream<'static, Response>, Watch)>| {
        let request_id = Arc::clone(&request_id);
        async move {
            let (mut events, mut watch) = state?;
            let confirmed = async {
                let event = events.next().await?;
                watch.confirmation.wait().await;
                Some(event)
            };
            tokio::select! {
                biased;
                error = &mut watch.end => Some((request_error_response(&error, &request_id), None)),
                event = confirmed => Some((event?, Some((events, watch)))),
            }
        }
    };
    stream::unfold(Some((events, watch)), next).boxed()
}

fn end_error(end: TokenEnd) -> Error {
    match end {
        TokenEnd::Expired | TokenEnd::Revoked => Unauthenticated::TokenExpired.into(),
        // The guards have checked the earlier role.
        TokenEnd::RoleChanged => Forbidden::RoleRequired.into(),
    }
}

fn single(response: Response) -> BoxStream<'static, Response> {
    stream::once(async { response }).boxed()
}

fn requester_in(data: &Data) -> Option<&Requester> {
    data.get(&TypeId::of::<Requester>())?.downcast_ref()
}

impl<Q, M, S> async_graphql::Executor for Executor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    async fn execute(&self, request: Request) -> Response {
        self.execute_once(request).await
    }

    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        BatchResponse::Single(match batch {
            BatchRequest::Single(request) => self.execute_once(request).await,
            // The limits apply to one operation.
            BatchRequest::Batch(_) => {
                let message = "The body must be a JSON object with one operation.";
                request_error_response(&Error::BadRequest(message.to_owned()), "none")
            }
        })
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let started = self.clone().start(request, session_data);
        stream::once(started).flatten().boxed()
    }
}

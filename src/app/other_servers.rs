//! Requests that servers other than poem receive.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::app::Symbolon;
use crate::error::Error;
use crate::graphql::{Executor, ObjectType, Schema, SubscriptionType};
use crate::http;
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::service::requester::Requester;

impl Symbolon {
    /// Returns a request of `client` with the credentials in `authorization`, for servers other than poem.
    /// `authorization` is the value of the header `Authorization`. A value that is malformed or longer than 8,192 bytes
    /// counts as invalid credentials. The credentials are verified when they are first required.
    ///
    /// A server must refuse requests with several `Authorization` headers, because a proxy may use another one of them.
    ///
    /// ```
    /// use symbolon::{Client, Error, Role, Symbolon};
    ///
    /// async fn clear_cache(symbolon: &Symbolon, authorization: Option<&str>) -> Result<(), Error> {
    ///     let requester = symbolon.requester(authorization, Client::default());
    ///     requester.require_role(Role::Admin).await?;
    ///     // Clear the cache.
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn requester(&self, authorization: Option<&str>, client: Client) -> Requester {
        let credentials = authorization.map(http::parse_authorization);
        let services = Arc::clone(&self.state.services);
        Requester::with_credentials(services, credentials.unwrap_or_default(), client)
    }

    /// Verifies the credentials in `authorization`, which is the value of the header `Authorization`. Accepts a Bearer
    /// token or HTTP Basic credentials. Equivalent to [`Symbolon::requester`], followed by
    /// [`Requester::authenticate`].
    ///
    /// ```
    /// use symbolon::{Client, Error, Symbolon};
    ///
    /// async fn greeting(symbolon: &Symbolon, authorization: &str) -> Result<String, Error> {
    ///     let identity = symbolon.authenticate(authorization, Client::default()).await?;
    ///     Ok(format!("Hello, {}!", identity.user().username))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Requester::authenticate`].
    pub fn authenticate(
        &self,
        authorization: &str,
        client: Client,
    ) -> impl Future<Output = Result<Identity, Error>> + Send + use<> {
        let requester = self.requester(Some(authorization), client);
        async move { requester.authenticate().await }.boxed()
    }

    /// Returns an executor for `schema`, for servers other than poem, such as `async-graphql-axum`. The example
    /// `examples/axum.rs` is a complete application.
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
    ///     let response = executor.execute(request).await;
    ///     response.data.to_string()
    /// }
    /// ```
    #[must_use]
    pub fn executor<Q, M, S>(&self, schema: Schema<Q, M, S>) -> Executor<Q, M, S>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        http::executor(&self.state, schema)
    }
}

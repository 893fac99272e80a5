//! The per-request data that resolvers, guards and extensions use.

use std::sync::{Arc, OnceLock};

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Result};

use crate::error::Error;
use crate::graphql::data_loader::Rows;
use crate::graphql::document::Document;
use crate::model::identity::Identity;
use crate::model::user::User;
use crate::service::Services;
use crate::service::authorization::Caller;
use crate::service::request_authentication::Authentication;
use crate::service::requester::Requester;

/// Gives resolvers access to the caller of the request. [`async_graphql::Context`] implements this trait.
///
/// The first call in a request authenticates the request, and later calls return the same identity. In
/// a field with the guard [`Authenticated`](crate::Authenticated), the identity is already known.
pub trait ContextExt {
    /// Returns the identity with which the request is authenticated.
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result};
    /// use symbolon::{Authenticated, ContextExt};
    ///
    /// #[derive(Default)]
    /// struct Tokens;
    ///
    /// #[Object]
    /// impl Tokens {
    ///     /// Whether the request is sent by a program with an access token.
    ///     #[graphql(guard = "Authenticated")]
    ///     async fn is_program(&self, ctx: &Context<'_>) -> Result<bool> {
    ///         Ok(ctx.identity().await?.access_token().is_some())
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # use poem::{Endpoint, Request, http::Method};
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # symbolon.operator().add_user(&ada, symbolon::Role::User).await?;
    /// # let credentials = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
    /// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens");
    /// # let sign_in = sign_in.header("Host", "localhost").header("Authorization", credentials);
    /// # let response = symbolon.own_routes().get_response(sign_in.finish()).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # let authorization = format!("Bearer {}", body["token"].as_str().unwrap_or_default());
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query, Tokens);
    /// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
    /// # let request = Request::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.header("Authorization", &authorization);
    /// # let request = request.body(r#"{"query": "{ isProgram }"}"#);
    /// # let response = symbolon.routes(schema).get_response(request).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # assert_eq!(body["data"]["isProgram"], false);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns `UNAUTHENTICATED`, with the reason, if the request has no valid Bearer token. Returns
    /// `SERVICE_UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the token cannot be looked up.
    fn identity(&self) -> impl Future<Output = Result<Arc<Identity>>> + Send;

    /// Returns the user of the [identity](Self::identity).
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result};
    /// use symbolon::ContextExt;
    ///
    /// #[derive(Default)]
    /// struct Greetings;
    ///
    /// #[Object]
    /// impl Greetings {
    ///     /// A greeting for everyone, with a name only if the request has a valid token.
    ///     async fn greeting(&self, ctx: &Context<'_>) -> String {
    ///         match ctx.current_user().await {
    ///             Ok(user) => format!("Hello, {}!", user.username),
    ///             Err(_) => "Hello!".to_owned(),
    ///         }
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # use poem::{Endpoint, Request, http::Method};
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # symbolon.operator().add_user(&ada, symbolon::Role::User).await?;
    /// # let credentials = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
    /// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens");
    /// # let sign_in = sign_in.header("Host", "localhost").header("Authorization", credentials);
    /// # let response = symbolon.own_routes().get_response(sign_in.finish()).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # let authorization = format!("Bearer {}", body["token"].as_str().unwrap_or_default());
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query, Greetings);
    /// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
    /// # let request = Request::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.header("Authorization", &authorization);
    /// # let request = request.body(r#"{"query": "{ greeting }"}"#);
    /// # let response = symbolon.routes(schema).get_response(request).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # assert_eq!(body["data"]["greeting"], "Hello, ada!");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`identity`](Self::identity).
    fn current_user(&self) -> impl Future<Output = Result<User>> + Send;

    /// Returns the client of the request with its credentials, for operations such as
    /// [`Requester::create_token`](crate::Requester::create_token). Verifies no credentials.
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result};
    /// use symbolon::ContextExt;
    ///
    /// struct AccountMutation;
    ///
    /// #[Object]
    /// impl AccountMutation {
    ///     /// Signs out everywhere.
    ///     async fn leave(&self, ctx: &Context<'_>) -> Result<u32> {
    ///         Ok(ctx.requester()?.revoke_all_tokens().await?)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns `INTERNAL_SERVER_ERROR` if the request is not executed by Symbolon.
    fn requester(&self) -> Result<Requester>;
}

impl ContextExt for Context<'_> {
    async fn identity(&self) -> Result<Arc<Identity>> {
        Ok(authentication(self)?.identity().await?)
    }

    async fn current_user(&self) -> Result<User> {
        Ok(self.identity().await?.user().clone())
    }

    fn requester(&self) -> Result<Requester> {
        let ResolverContext {
            services,
            authentication,
            ..
        } = request(self)?;
        Ok(Requester::new(Arc::clone(services), authentication.clone()))
    }
}

/// The data of one GraphQL request.
pub(super) struct ResolverContext {
    pub(super) services: Arc<Services>,
    pub(super) authentication: Authentication,
    pub(super) document: Arc<Document>,
    /// The number of representations of entities in the document.
    pub(super) representations: usize,
    pub(super) loader: OnceLock<DataLoader<Rows>>,
}

/// Returns the authentication of the request.
pub(super) fn authentication<'a>(ctx: &Context<'a>) -> Result<&'a Authentication, Error> {
    Ok(&request(ctx)?.authentication)
}

/// Returns the caller, and the services of the instance that received the request. The services are
/// stored in the request, because the schema may have been built for another instance.
pub(super) fn caller<'a>(ctx: &Context<'a>) -> Result<(Caller<'a>, &'a Services), Error> {
    let request = request(ctx)?;
    Ok(((&request.authentication).into(), &request.services))
}

/// Returns the data loader of the request. The loader does not cache rows, so a field that is resolved
/// after a mutation in the same request returns the changed rows.
pub(super) fn loader<'a>(ctx: &Context<'a>) -> Result<&'a DataLoader<Rows>, Error> {
    let request = request(ctx)?;
    let rows = || Rows {
        services: Arc::clone(&request.services),
        authentication: request.authentication.clone(),
    };
    let new = || DataLoader::new(rows(), tokio::spawn);
    Ok(request.loader.get_or_init(new))
}

/// Returns the data of the request.
pub(super) fn request<'a>(ctx: &Context<'a>) -> Result<&'a ResolverContext, Error> {
    ctx.data().map_err(|error| Error::internal(error.message))
}

//! Field guards for the types of an application.

use async_graphql::{Context, Guard, Result};

use crate::graphql::context::{ContextExt, authentication};
use crate::model::requirement::Requirement;
use crate::model::user::Role;

/// A guard that requires a valid Bearer token: `#[graphql(guard = "Authenticated")]`.
///
/// Requests without a valid token get the error `UNAUTHENTICATED`, with the reason.
///
/// ```
/// use async_graphql::{Context, Object, Result};
/// use symbolon::{Authenticated, ContextExt};
///
/// #[derive(Default)]
/// struct Greetings;
///
/// #[Object]
/// impl Greetings {
///     #[graphql(guard = "Authenticated")]
///     async fn greeting(&self, ctx: &Context<'_>) -> Result<String> {
///         Ok(format!("Hello, {}!", ctx.current_user().await?.username))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # #[derive(async_graphql::MergedObject, Default)]
/// # struct Query(symbolon::Query, Greetings);
/// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
/// # use poem::{Endpoint as _, Request as Post};
/// # let request = Post::builder().method(poem::http::Method::POST).uri_str("/graphql");
/// # let request = request.header("Host", "localhost").content_type("application/json");
/// # let request = request.body(r#"{"query": "{ greeting }"}"#);
/// # let response = symbolon.routes(schema).get_response(request).await;
/// # let body: serde_json::Value = response.into_body().into_json().await?;
/// // The response to `{ greeting }` without a token:
/// assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated;

impl Guard for Authenticated {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        ctx.identity().await.map(drop)
    }
}

/// A guard that requires a valid Bearer token of a user with this role or a higher one:
/// `#[graphql(guard = "RequireRole(Role::Admin)")]`.
///
/// Users with a lower role get the error `FORBIDDEN` with the reason `ROLE_REQUIRED`. Requests without
/// a valid token get the error `UNAUTHENTICATED`.
///
/// ```
/// use async_graphql::Object;
/// use symbolon::{RequireRole, Role};
///
/// #[derive(Default)]
/// struct Statistics;
///
/// #[Object]
/// impl Statistics {
///     #[graphql(guard = "RequireRole(Role::Admin)")]
///     async fn visits(&self) -> u32 {
///         1024
///     }
/// }
///
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
/// # struct Query(symbolon::Query, Statistics);
/// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
/// # let request = Request::builder().method(poem::http::Method::POST).uri_str("/graphql");
/// # let request = request.header("Host", "localhost").content_type("application/json");
/// # let request = request.header("Authorization", &authorization);
/// # let request = request.body(r#"{"query": "{ visits }"}"#);
/// # let response = symbolon.routes(schema).get_response(request).await;
/// # let body: serde_json::Value = response.into_body().into_json().await?;
/// // The response to `{ visits }` with the token of a user who is not an admin:
/// assert_eq!(body["errors"][0]["extensions"]["reason"], "ROLE_REQUIRED");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequireRole(pub Role);

impl Guard for RequireRole {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let requirement = Requirement::token(&[]).with_role(self.0);
        authentication(ctx)?.require(&requirement).await?;
        Ok(())
    }
}

/// A guard that requires a valid Bearer token with this scope:
/// `#[graphql(guard = "RequireScope(\"notes:read\")")]`.
///
/// Session tokens, and access tokens with the scope `*`, include every scope. Requests with any other
/// access token get the error `FORBIDDEN` with the reason `SCOPE_REQUIRED`. Requests without a valid
/// token get the error `UNAUTHENTICATED`.
///
/// ```
/// use async_graphql::Object;
/// use symbolon::RequireScope;
///
/// #[derive(Default)]
/// struct Notes;
///
/// #[Object]
/// impl Notes {
///     #[graphql(guard = "RequireScope(\"notes:read\")")]
///     async fn notes(&self) -> Vec<String> {
///         vec!["Buy milk.".to_owned()]
///     }
/// }
///
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
/// # struct Query(symbolon::Query, Notes);
/// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
/// # let request = Request::builder().method(poem::http::Method::POST).uri_str("/graphql");
/// # let request = request.header("Host", "localhost").content_type("application/json");
/// # let request = request.header("Authorization", &authorization);
/// # let request = request.body(r#"{"query": "{ notes }"}"#);
/// # let response = symbolon.routes(schema).get_response(request).await;
/// # let body: serde_json::Value = response.into_body().into_json().await?;
/// // The response to `{ notes }` with a session token, which includes every scope:
/// assert_eq!(body["data"]["notes"][0], "Buy milk.");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequireScope(pub &'static str);

impl Guard for RequireScope {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let scopes = [self.0];
        authentication(ctx)?
            .require(&Requirement::token(&scopes))
            .await?;
        Ok(())
    }
}

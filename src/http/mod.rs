//! The HTTP door. Its paths: `/graphql`, `/tokens`, `/healthz`, `/readyz`, and `/` for a browser.

mod authorization;
mod context;
mod errors;
mod explorer;
mod graphql;
mod health;
mod identity;
mod tokens;

use std::sync::Arc;

use poem::error::MethodNotAllowedError;
use poem::{Endpoint, EndpointExt, Request, Response, Route, RouteMethod, get, post};

pub use self::context::Middleware;
use crate::error::Error;
use crate::graphql::{ObjectType, Schema, SubscriptionType};
use crate::service::Services;

/// The answer to a schema's operations; to be mounted with `post`.
pub(crate) fn graphql<Q, M, S>(
    services: &Arc<Services>,
    schema: Schema<Q, M, S>,
) -> impl Endpoint<Output = Response> + 'static
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    only("POST", post(graphql::GraphqlEndpoint::new(schema)))
        .with(Middleware::new(Arc::clone(services)))
}

/// All of Symbolon's paths, with the schema's operations at `/graphql`.
pub(crate) fn routes<Q, M, S>(services: &Arc<Services>, schema: Schema<Q, M, S>) -> Route
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let middleware = || Middleware::new(Arc::clone(services));
    let tokens = post(tokens::create).delete(tokens::revoke);
    Route::new()
        .at(
            "/",
            only("GET, HEAD", get(explorer::page)).with(middleware()),
        )
        .at("/graphql", graphql(services, schema))
        .at("/tokens", only("POST, DELETE", tokens).with(middleware()))
        .at(
            "/healthz",
            only("GET, HEAD", get(health::alive)).with(middleware()),
        )
        .at(
            "/readyz",
            only("GET, HEAD", get(health::ready)).with(middleware()),
        )
}

/// Says which methods there are when another is tried (RFC 9110, section 15.5.6).
fn only(methods: &'static str, route: RouteMethod) -> impl Endpoint<Output = Response> {
    route.around(move |route, request: Request| async move {
        route.call(request).await.map_err(|error| {
            if error.is::<MethodNotAllowedError>() {
                Error::MethodNotAllowed(methods).into()
            } else {
                error
            }
        })
    })
}

/// Runs `work` in a task of its own, which ends even when the client hangs up. A panic in it is an
/// internal error.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.map_err(Error::internal)
}

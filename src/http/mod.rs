//! The HTTP state. Its paths: `/graphql`, `/tokens`, `/auth`, `/healthz`, `/readyz`, and `/` for a browser.

mod authorization_header;
mod capacity;
mod client_address;
mod cors;
mod error_responses;
#[cfg(feature = "explorer")]
mod explorer;
mod forward_auth;
mod graphql;
mod health;
mod identity_extractor;
mod metrics;
mod request_body;
mod request_context;
mod request_log;
mod server;
mod tokens;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use poem::error::MethodNotAllowedError;
use poem::{Endpoint, EndpointExt, Request, Response, Route, RouteMethod, get, post};

pub(crate) use self::capacity::Capacity;
pub(crate) use self::client_address::IgnoredForwardedHeader;
pub(crate) use self::metrics::Metrics;
pub use self::request_context::Middleware;
pub(crate) use self::server::serve;
use crate::config::{HttpConfig, Limits};
use crate::error::Error;
use crate::graphql::{ObjectType, Schema, SubscriptionType};
use crate::service::Services;

/// What all routes have in common.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) services: Arc<Services>,
    pub(crate) http: HttpConfig,
    pub(crate) limits: Limits,
    /// For the documents of one schema, in bytes.
    pub(crate) document_cache: u64,
    pub(crate) metrics: Metrics,
    pub(crate) ignored_forwarding: IgnoredForwardedHeader,
    pub(crate) capacity: Capacity,
}

impl AppState {
    fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.http.request_timeout)
    }
}

/// The answer to a schema's operations.
pub(crate) fn graphql<Q, M, S>(
    state: &Arc<AppState>,
    schema: Schema<Q, M, S>,
) -> impl Endpoint<Output = Response> + 'static
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    graphql::GraphqlEndpoint::new(Arc::clone(state), schema)
        .with(Middleware::new(Arc::clone(state)))
}

/// All of Symbolon's paths, with the schema's operations at `/graphql`.
pub(crate) fn routes<Q, M, S>(state: &Arc<AppState>, schema: Schema<Q, M, S>) -> Route
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let on = |methods, route| only(methods, route).with(Middleware::new(Arc::clone(state)));
    let tokens = post(tokens::create).delete(tokens::revoke);
    let route = Route::new()
        .at("/graphql", graphql(state, schema))
        .at(
            "/tokens",
            on("POST, DELETE", tokens).data(state.request_timeout()),
        )
        .at("/auth", on("GET, HEAD", get(forward_auth::check)))
        .at("/healthz", on("GET, HEAD", get(health::alive)))
        .at(
            "/readyz",
            on("GET, HEAD", get(health::ready)).data(Arc::clone(&state.services)),
        );
    #[cfg(feature = "explorer")]
    if state.http.explorer {
        return route
            .at("/", on("GET, HEAD", get(explorer::page)))
            .at("/explorer/:name", on("GET, HEAD", get(explorer::asset)));
    }
    route
}

/// What Prometheus reads, at any path.
pub(crate) fn metrics(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    let state = Arc::clone(state);
    let response = move |_| {
        let authenticator = &state.services.authenticator;
        let stale_identities = authenticator.stale_identities();
        state
            .metrics
            .response(authenticator.cache_bytes(), stale_identities)
    };
    poem::endpoint::make_sync(response).map_to_response()
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

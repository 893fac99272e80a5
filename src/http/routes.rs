//! The routes `/graphql`, `/tokens`, `/auth`, `/auth/…`, `/healthz` and `/readyz`, and the routes of the pages of one-time links
//! and of the API explorer.

use std::sync::Arc;

use poem::error::MethodNotAllowedError;
use poem::{Endpoint, EndpointExt, Request, Response, Route, RouteMethod, get, post};

use crate::error::Error;
use crate::graphql::{Executor, ObjectType, Schema, SubscriptionType};
#[cfg(feature = "explorer")]
use crate::http::explorer;
use crate::http::forward_auth;
use crate::http::graphql::{GraphqlEndpoint, operation_executor};
use crate::http::health;
use crate::http::middleware::Middleware;
use crate::http::pages::{self, Purpose};
use crate::http::state::AppState;
use crate::http::tokens;

/// Returns the endpoint that executes the operations of a schema.
pub(crate) fn graphql<Q, M, S>(
    state: &Arc<AppState>,
    schema: Schema<Q, M, S>,
) -> impl Endpoint<Output = Response> + 'static
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    GraphqlEndpoint::new(Arc::clone(state), schema).with(Middleware::new(Arc::clone(state)))
}

/// Returns an executor of the operations of a schema, for other servers.
pub(crate) fn executor<Q, M, S>(state: &AppState, schema: Schema<Q, M, S>) -> Executor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let services = Arc::clone(&state.services);
    Executor::new(services, operation_executor(state, schema))
}

/// Returns all routes. The route `/graphql` executes the operations of `schema`.
pub(crate) fn routes<Q, M, S>(state: &Arc<AppState>, schema: Schema<Q, M, S>) -> Route
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let route = |allowed, methods| {
        with_allow_header(allowed, methods).with(Middleware::new(Arc::clone(state)))
    };
    let tokens = post(tokens::create).delete(tokens::revoke);
    let tokens = route("POST, DELETE", tokens).data(Arc::clone(state));
    let ready = route("GET, HEAD", get(health::ready)).data(Arc::clone(&state.services));
    let alive = route("GET, HEAD", get(health::alive));
    let auth = forward_auth::check.data(Arc::clone(state));
    let auth_below = forward_auth::check_any.data(Arc::clone(state));
    let middleware = || Middleware::new(Arc::clone(state));
    let mut routes = Route::new()
        .at("/auth", auth.with(middleware()))
        .at("/auth/*", auth_below.with(middleware()));
    #[cfg(feature = "explorer")]
    let has_registration =
        state.services.users.registration_open && schema.has_mutation("createUser");
    routes = with_and_without_slash(routes, "/graphql", graphql(state, schema));
    routes = with_and_without_slash(routes, "/tokens", tokens);
    routes = with_and_without_slash(routes, "/healthz", alive);
    routes = with_and_without_slash(routes, "/readyz", ready);
    // The pages exist only if links lead to them, so that an application can have its own pages with these names.
    let has_explorer = cfg!(feature = "explorer") && state.http.explorer;
    let page = |purpose| route("GET, HEAD", get(pages::page(purpose, has_explorer)));
    let links = &state.services.users.links;
    if links.has_invitation_page() {
        let (script, styles) = (get(pages::script()), get(pages::styles()));
        routes = routes
            .at("/invite", page(Purpose::Invite))
            .at("/pages/password.js", route("GET, HEAD", script))
            .at("/pages/password.css", route("GET, HEAD", styles));
        if !links.has_own_reset_page {
            routes = routes.at("/reset", page(Purpose::Reset));
        }
    }
    #[cfg(feature = "explorer")]
    if state.http.explorer {
        let page = get(explorer::page(has_registration));
        return routes
            .at("/", route("GET, HEAD", page))
            .at("/explorer/:name", route("GET, HEAD", get(explorer::asset)));
    }
    routes
}

/// Adds an endpoint at `path` and at `path` followed by a slash, which some clients and proxies append.
fn with_and_without_slash(
    routes: Route,
    path: &str,
    endpoint: impl Endpoint<Output = Response> + 'static,
) -> Route {
    let endpoint = Arc::new(endpoint);
    let with_slash = format!("{path}/");
    routes
        .at(path, Arc::clone(&endpoint))
        .at(with_slash, endpoint)
}

/// Returns the endpoint that Prometheus scrapes. The endpoint can be mounted at any path.
pub(crate) fn metrics(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    let state = Arc::clone(state);
    let response = move |request: Request| state.metrics.response(request.headers());
    let response = poem::endpoint::make_sync(response).map_to_response();
    with_allow_header("GET, HEAD", get(response))
}

/// Adds the allowed methods to the response to a request with any other method (RFC 9110, section
/// 15.5.6).
fn with_allow_header(
    allowed: &'static str,
    methods: RouteMethod,
) -> impl Endpoint<Output = Response> {
    methods.around(move |methods, request: Request| async move {
        let response = methods.call(request).await;
        response.map_err(|error| {
            if error.is::<MethodNotAllowedError>() {
                Error::MethodNotAllowed(allowed).into()
            } else {
                error
            }
        })
    })
}

//! The middleware that assigns an id and an `Authentication` to each request, and that completes and logs
//! each response.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use poem::http::{HeaderName, HeaderValue, header};
use poem::{Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response};

use crate::error::{Error, Forbidden};
use crate::http::authorization_header;
use crate::http::cross_origin;
use crate::http::error_responses::{Challenge, error_response};
use crate::http::host_header;
use crate::http::request_log::{ExecutedOperation, RequestLog};
use crate::http::state::AppState;
use crate::model::client::{Client, parse_user_agent, request_id};
use crate::service::Services;
use crate::service::request_authentication::Authentication;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, and the data that one `Symbolon` instance adds to the request.
#[derive(Clone, Debug)]
pub(super) struct RequestContext(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: Arc<str>,
    pub(super) authentication: Authentication,
    pub(super) services: Arc<Services>,
    /// Whether a page of another site sent the request. False for pages of allowed origins.
    is_cross_site: bool,
    /// Whether a page of another origin sent the request. False for pages of allowed origins.
    is_cross_origin: bool,
    executed: OnceLock<ExecutedOperation>,
}

impl Deref for RequestContext {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl RequestContext {
    /// Returns the context that the middleware added to the request.
    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        let context = request.extensions().get::<Self>().cloned();
        context.ok_or_else(|| Error::internal("the route lacks Symbolon's middleware"))
    }

    /// Refuses requests from pages of other sites. Every operation that changes data requires this check.
    pub(super) fn refuse_cross_site(&self) -> Result<(), Error> {
        if self.is_cross_site {
            return Err(Forbidden::CrossSite.into());
        }
        Ok(())
    }

    /// Refuses requests from pages of other origins, including other origins of the same site. Endpoints to
    /// which browsers send requests without a preflight request require this check.
    pub(super) fn refuse_cross_origin(&self) -> Result<(), Error> {
        if self.is_cross_origin {
            return Err(Forbidden::CrossSite.into());
        }
        self.refuse_cross_site()
    }

    /// Stores the executed operation for the log and the metrics. A request executes at most one operation.
    pub(super) fn set_executed_operation(&self, operation: ExecutedOperation) {
        let _ = self.executed.set(operation);
    }
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request)?)
    }
}

/// Poem middleware that enables routes to extract the [`Identity`](crate::Identity) of a request. The
/// middleware also logs each request and its response. [`Symbolon::serve`](crate::Symbolon::serve) adds
/// the middleware to the whole application. Symbolon's own routes also have the middleware, so that
/// they work on any server.
///
/// Several `Symbolon` instances in one application do not share identities. The innermost middleware
/// determines the instance that a route uses.
///
/// ```
/// use poem::{EndpointExt, Route, get, handler};
/// use symbolon::{Identity, Symbolon};
///
/// #[handler]
/// fn whoami(identity: Identity) -> String {
///     identity.user().username.clone()
/// }
///
/// fn app(staff: &Symbolon, customers: &Symbolon) -> Route {
///     Route::new()
///         .at("/staff", get(whoami).with(staff.middleware()))
///         .at("/customers", get(whoami).with(customers.middleware()))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # use poem::{Endpoint, Request};
/// # let request = Request::builder().uri_str("/staff").header("Host", "localhost").finish();
/// # let response = app(&symbolon, &symbolon).get_response(request).await;
/// # assert_eq!(response.status(), 401);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Middleware {
    state: Arc<AppState>,
}

impl Middleware {
    pub(crate) fn new(state: Arc<AppState>) -> Self {
        Self { state }
    }
}

impl<E: Endpoint> poem::Middleware<E> for Middleware {
    type Output = WithContext<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        WithContext {
            state: Arc::clone(&self.state),
            endpoint,
        }
    }
}

/// An endpoint with the [`Middleware`].
#[derive(Debug)]
pub struct WithContext<E> {
    state: Arc<AppState>,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for WithContext<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let outer = request.extensions().get::<RequestContext>();
        // Both `serve` and each of Symbolon's routes add the middleware. If the outer middleware belongs to
        // this instance, the inner middleware only calls the endpoint. The inner middleware then takes less
        // than 1 % of the time of a `me` query. If the outer middleware belongs to another `Symbolon`
        // instance, this endpoint gets a new context from its own instance.
        if outer.is_some_and(|outer| {
            outer
                .authentication
                .belongs_to(&self.state.services.authenticator)
        }) {
            let response = self.endpoint.call(request).await;
            return response.map(IntoResponse::into_response);
        }
        let id = outer.map_or_else(
            || request_id(header_text(&request, &X_REQUEST_ID)),
            |outer| Arc::clone(&outer.id),
        );
        let (exchange, context) = Exchange::begin(&self.state, &request, id);
        let response = match &context {
            Err(error) => error_response(error, Challenge::Bearer, &exchange.id),
            Ok(context) => {
                request.extensions_mut().insert(context.clone());
                let result = AssertUnwindSafe(self.endpoint.call(request)).catch_unwind();
                exchange.complete(result.await)
            }
        };
        Ok(exchange.end(response, context.as_ref().ok()))
    }
}

/// The data of a request that its response depends on. The functions of this type are not `async`, because each
/// additional future would copy the request twice. A function that is not `async` but returns the future, with these data
/// in it, copies the whole future of the endpoint, which is more expensive.
struct Exchange<'a> {
    state: &'a AppState,
    id: Arc<str>,
    log: RequestLog,
    allowed_origin: Option<HeaderValue>,
    refused_origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl<'a> Exchange<'a> {
    /// Checks the headers of a request. Returns the context of the request, or the error that refuses the request.
    fn begin(
        state: &'a AppState,
        request: &Request,
        id: Arc<str>,
    ) -> (Self, Result<RequestContext, Error>) {
        let headers = request.headers();
        let log = RequestLog::new(request, state);
        let allowed_origin = cross_origin::allowed_origin(headers, &state.http);
        let refused_origin = match allowed_origin {
            Some(_) => None,
            None => cross_origin::cross_origin(headers).cloned(),
        };
        let context = host_header::check(request).and_then(|()| {
            let credentials = authorization_header::parse_headers(headers)?;
            let user_agent = header_text(request, &header::USER_AGENT);
            let client = Client {
                address: log.client,
                request_id: Some(Arc::clone(&id)),
                user_agent: user_agent.and_then(parse_user_agent),
            };
            let authenticator = Arc::clone(&state.services.authenticator);
            Ok(RequestContext(Arc::new(Inner {
                id: Arc::clone(&id),
                authentication: Authentication::new(authenticator, credentials, client),
                services: Arc::clone(&state.services),
                is_cross_site: allowed_origin.is_none() && cross_origin::is_cross_site(headers),
                is_cross_origin: refused_origin.is_some()
                    || allowed_origin.is_none() && cross_origin::is_same_site(headers),
                executed: OnceLock::new(),
            })))
        });
        let exchange = Self {
            state,
            id,
            log,
            allowed_origin,
            refused_origin,
            is_preflight: cross_origin::is_preflight(request, &state.http),
        };
        (exchange, context)
    }

    /// Converts the result of the endpoint to a response. Answers CORS preflight requests in place of the endpoint,
    /// unless the endpoint is the one for reverse proxies.
    fn complete<R: IntoResponse>(&self, result: std::thread::Result<poem::Result<R>>) -> Response {
        let response = match result {
            Ok(Ok(response)) => response.into_response(),
            Ok(Err(error)) => match error.downcast::<Error>() {
                Ok(error) => error_response(&error, Challenge::Bearer, &self.id),
                Err(other) => other.into_response(),
            },
            Err(_) => {
                let error = Error::internal("a handler panicked");
                error_response(&error, Challenge::Bearer, &self.id)
            }
        };
        if self.is_preflight && cross_origin::permits_preflight(&response) {
            return cross_origin::preflight_response(&self.state.http);
        }
        response
    }

    /// Adds the headers that each response has, and logs the response.
    fn end(self, mut response: Response, context: Option<&RequestContext>) -> Response {
        let config = &self.state.http;
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID, id);
        }
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        cross_origin::add_response_headers(self.allowed_origin, config, headers);
        if let Some(origin) = self.refused_origin {
            self.state.refused_origins.log(&origin, headers);
        }
        let operation = context.and_then(|context| context.executed.get());
        let user = context.and_then(|context| context.authentication.known_user());
        self.log
            .log_response(self.state, &self.id, response.status(), operation, user);
        response
    }
}

/// Returns the value of a header if it consists of visible ASCII characters and whitespace.
fn header_text<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

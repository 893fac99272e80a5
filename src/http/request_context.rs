//! What every request has before anything else, an id and its credentials, and every answer after it.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::future::{Either, ready};
use futures_util::{FutureExt, TryFutureExt};
use poem::http::{HeaderMap, HeaderName, HeaderValue, header};
use poem::{Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response};

use crate::error::{Error, Forbidden};
use crate::http::authorization_header::credentials;
use crate::http::error_responses::{Challenge, refuse};
use crate::http::request_log::{ExecutedOperation, RequestLog};
use crate::http::{AppState, cors};
use crate::model::audit_event::Client;
use crate::model::text_limits;
use crate::service::authentication::Authentication;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id and credentials, which one instance resolves. Its clones are the same request's.
#[derive(Clone, Debug)]
pub(super) struct RequestContext(Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: Arc<str>,
    pub(super) authentication: Authentication,
    /// A browser sends it for a page that may not use the API.
    cross_site: bool,
    /// The same, where the page is of another origin of the same site, or the browser does not say.
    foreign: bool,
    work: OnceLock<ExecutedOperation>,
}

impl Deref for RequestContext {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl RequestContext {
    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        let context = request.extensions().get::<Self>().cloned();
        context.ok_or_else(|| Error::internal("the route lacks Symbolon's middleware"))
    }

    /// To be asked by whatever changes something.
    pub(super) fn refuse_cross_site(&self) -> Result<(), Error> {
        if self.cross_site {
            return Err(Forbidden::CrossSite.into());
        }
        Ok(())
    }

    /// Refuses pages of other origins. For endpoints whose requests a browser sends without a preflight.
    pub(super) fn refuse_foreign(&self) -> Result<(), Error> {
        if self.foreign {
            return Err(Forbidden::CrossSite.into());
        }
        self.refuse_cross_site()
    }

    /// Notes what was executed.
    pub(super) fn worked_on(&self, work: ExecutedOperation) {
        // A request has one operation.
        let _ = self.work.set(work);
    }
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request)?)
    }
}

/// Poem middleware that lets the routes under it ask who is calling, with the extractor
/// [`Identity`](crate::Identity), and logs their requests. Symbolon's own routes have it, and so has
/// every route of an app that [`Symbolon::serve`](crate::Symbolon::serve) runs. Instances do not share
/// identities: the extractor asks the instance whose middleware is the innermost one.
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

    fn transform(&self, next: E) -> Self::Output {
        WithContext {
            state: Arc::clone(&self.state),
            next,
        }
    }
}

/// An endpoint under [`Middleware`].
#[derive(Debug)]
pub struct WithContext<E> {
    state: Arc<AppState>,
    next: E,
}

impl<E: Endpoint> Endpoint for WithContext<E> {
    type Output = Response;

    // An `async fn` would keep the request twice: as what it is called with, and as what it passes on.
    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let outer = request.extensions().get::<RequestContext>();
        // One of another instance knows other accounts, and is replaced for what is under this one.
        if outer.is_some_and(|outer| {
            outer
                .authentication
                .belongs_to(&self.state.services.authenticator)
        }) {
            let called = Box::pin(self.next.call(request));
            return Either::Left(called.map_ok(IntoResponse::into_response));
        }
        Either::Right(self.begin(request).map(Ok))
    }
}

impl<E: Endpoint> WithContext<E> {
    fn begin(&self, mut request: Request) -> impl Future<Output = Response> + Send {
        let log = RequestLog::of(&request, &self.state);
        let config = &self.state.http;
        let outer = request.extensions().get::<RequestContext>();
        let id = outer.map_or_else(
            || request_id(request.headers()),
            |outer| Arc::clone(&outer.id),
        );
        let origin = cors::allowed(request.headers(), config);
        let mut known = None;
        let responding = match (
            cors::preflight(&request, config),
            credentials(request.headers()),
        ) {
            (Some(preflight), _) => Either::Left(ready(preflight)),
            (None, Err(error)) => Either::Left(ready(refuse(&error, Challenge::Bearer, &id))),
            (None, Ok(credentials)) => {
                let authenticator = Arc::clone(&self.state.services.authenticator);
                let from = Client {
                    address: log.client(),
                    request_id: Some(Arc::clone(&id)),
                };
                let context = RequestContext(Arc::new(Parts {
                    id: Arc::clone(&id),
                    authentication: Authentication::new(authenticator, credentials, from),
                    cross_site: origin.is_none() && cors::is_cross_site(request.headers()),
                    foreign: origin.is_none() && cors::is_foreign(request.headers()),
                    work: OnceLock::new(),
                }));
                known = Some(context.clone());
                request.extensions_mut().insert(context);
                Either::Right(self.respond(request, Arc::clone(&id)))
            }
        };
        async move {
            let mut response = responding.await;
            let headers = response.headers_mut();
            if let Ok(id) = HeaderValue::from_str(&id) {
                headers.insert(X_REQUEST_ID, id);
            }
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            cors::allow(origin, config, headers);
            let known = known.as_ref();
            let work = known.and_then(|context| context.work.get());
            let user = known.and_then(|context| context.authentication.known_user());
            log.answered(&self.state, &id, response.status(), work, user);
            response
        }
    }

    /// The endpoint's response, whatever becomes of it.
    fn respond(&self, request: Request, id: Arc<str>) -> impl Future<Output = Response> + Send {
        let called = AssertUnwindSafe(Box::pin(self.next.call(request))).catch_unwind();
        called.map(move |called| match called {
            Ok(Ok(response)) => response.into_response(),
            Ok(Err(error)) => match error.downcast::<Error>() {
                Ok(error) => refuse(&error, Challenge::Bearer, &id),
                Err(other) => other.into_response(),
            },
            Err(_) => {
                let error = Error::internal("a handler panicked");
                refuse(&error, Challenge::Bearer, &id)
            }
        })
    }
}

/// The id that a proxy gave the request, if it is one, or 16 random hexadecimal digits: enough to
/// find a request in a log.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_id = |id: &&str| {
        (1..=text_limits::REQUEST_ID).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(is_id).map_or_else(
        || {
            let random: [u8; 8] = rand::random();
            let digits: [u8; 16] = std::array::from_fn(|at| {
                let half = random[at / 2] >> (4 * (at % 2)) & 0xf;
                b"0123456789abcdef"[usize::from(half)]
            });
            String::from_utf8_lossy(&digits).into()
        },
        Into::into,
    )
}

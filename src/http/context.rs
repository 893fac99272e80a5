//! What every request has before anything else: an id, an address, its credentials; and what is said
//! of it afterwards, in its headers, the log and the counters.

use std::fmt::Write;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response};

use crate::error::{Error, Forbidden};
use crate::http::authorization::credentials;
use crate::http::errors::{Challenge, refuse};
use crate::http::{Door, address, origin};
use crate::service::authentication::Authentication;

/// A request's id and credentials.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    pub(super) id: Arc<str>,
    pub(super) authentication: Authentication,
    /// A browser sends it for a page that may not use the API.
    cross_site: bool,
    work: Arc<Mutex<Option<(Work, bool)>>>,
}

/// What an executed operation asked for: names of the schema, and its own.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) root_fields: Vec<String>,
}

impl RequestContext {
    /// To be asked by whatever changes something.
    pub(super) fn refuse_cross_site(&self) -> Result<(), Error> {
        if self.cross_site {
            return Err(Forbidden::CrossSite.into());
        }
        Ok(())
    }

    /// Notes what was executed, and whether all of it succeeded.
    pub(super) fn worked_on(&self, work: Work, ok: bool) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some((work, ok));
    }
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let context = request.extensions().get::<Self>().cloned();
        context.ok_or_else(|| Error::internal("the route lacks Symbolon's middleware").into())
    }
}

/// Poem middleware that lets the routes under it ask who is calling, with the extractor
/// [`Identity`](crate::Identity), and logs their requests. Symbolon's own routes have it, and so has
/// every route of an app that [`Symbolon::serve`](crate::Symbolon::serve) runs.
#[derive(Clone, Debug)]
pub struct Middleware {
    door: Arc<Door>,
}

impl Middleware {
    pub(crate) fn new(door: Arc<Door>) -> Self {
        Self { door }
    }
}

impl<E: Endpoint> poem::Middleware<E> for Middleware {
    type Output = WithContext<E>;

    fn transform(&self, next: E) -> Self::Output {
        WithContext {
            door: Arc::clone(&self.door),
            next,
        }
    }
}

/// An endpoint under [`Middleware`].
#[derive(Debug)]
pub struct WithContext<E> {
    door: Arc<Door>,
    next: E,
}

impl<E: Endpoint> Endpoint for WithContext<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.extensions().get::<RequestContext>().is_some() {
            return self
                .next
                .call(request)
                .await
                .map(IntoResponse::into_response);
        }
        let start = Instant::now();
        let config = &self.door.http;
        let id = request_id(request.headers());
        let client = address::client(&request, config);
        let origin = origin::allowed(request.headers(), config);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut logged = None;
        let mut response = match (
            origin::preflight(&request, config),
            credentials(request.headers()),
        ) {
            (Some(preflight), _) => preflight,
            (None, Err(error)) => refuse(&error, Challenge::Bearer, &id),
            (None, Ok(credentials)) => {
                let services = Arc::clone(&self.door.services);
                let context = RequestContext {
                    id: Arc::clone(&id),
                    authentication: Authentication::new(services, credentials),
                    cross_site: origin.is_none() && origin::is_cross_site(request.headers()),
                    work: Arc::default(),
                };
                logged = Some(context.clone());
                request.extensions_mut().insert(context);
                self.respond(request, &id).await
            }
        };
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-request-id", id);
        }
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        origin::allow(origin, config, headers);
        let status = response.status();
        self.door
            .metrics
            .responded(status.as_u16(), start.elapsed());
        self.log(
            &id,
            client,
            status,
            start,
            logged.as_ref(),
            (method.as_str(), &path),
        );
        Ok(response)
    }
}

impl<E: Endpoint> WithContext<E> {
    /// The endpoint's response, whatever becomes of it.
    async fn respond(&self, request: Request, id: &str) -> Response {
        let called = AssertUnwindSafe(self.next.call(request)).catch_unwind();
        match called.await {
            Ok(Ok(response)) => response.into_response(),
            Ok(Err(error)) => match error.downcast::<Error>() {
                Ok(error) => refuse(&error, Challenge::Bearer, id),
                Err(other) => other.into_response(),
            },
            Err(_) => {
                let error = Error::internal("a handler panicked");
                refuse(&error, Challenge::Bearer, id)
            }
        }
    }

    /// One line for each request, and the counters of what was executed.
    fn log(
        &self,
        request_id: &str,
        client: Option<IpAddr>,
        status: StatusCode,
        start: Instant,
        context: Option<&RequestContext>,
        (method, path): (&str, &str),
    ) {
        let work = context.and_then(|context| {
            let work = context.work.lock().unwrap_or_else(PoisonError::into_inner);
            work.clone()
        });
        let (operation, name, fields) = match &work {
            Some((work, ok)) => {
                for field in &work.root_fields {
                    self.door.metrics.executed(&work.kind, field, *ok);
                }
                let fields = work.root_fields.join(",");
                (Some(work.kind.as_str()), work.name.as_deref(), Some(fields))
            }
            None => (None, None, None),
        };
        let user = context.and_then(|context| context.authentication.known_user());
        tracing::info!(
            target: "symbolon::request",
            request_id,
            client = client.map(tracing::field::display),
            method,
            path,
            status = status.as_u16(),
            duration_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            operation,
            name,
            fields,
            user_id = user.map(tracing::field::display),
            "request"
        );
    }
}

/// The id that a proxy gave the request, if it is one, or 16 random hexadecimal digits: enough to
/// find a request in a log.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let is_id = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(is_id).map_or_else(
        || {
            let mut id = String::with_capacity(16);
            // Writing to a string does not fail.
            let _ = write!(id, "{:016x}", rand::random::<u64>());
            id.into()
        },
        Into::into,
    )
}

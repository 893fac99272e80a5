//! What every request is given before anything else: an id, and its credentials.

use std::fmt::Write;
use std::sync::Arc;

use poem::http::HeaderValue;
use poem::{Endpoint, FromRequest, Request, RequestBody, Response};

use crate::error::Error;
use crate::http::authorization::credentials;
use crate::http::errors::{Challenge, refuse};
use crate::service::Services;
use crate::service::authentication::Authentication;

/// A request's id and credentials.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    pub(super) id: Arc<str>,
    pub(super) authentication: Authentication,
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let context = request.extensions().get::<Self>().cloned();
        context.ok_or_else(|| Error::internal("the route lacks Symbolon's middleware").into())
    }
}

/// Poem middleware that lets the routes under it ask who is calling, with the extractor
/// [`Identity`](crate::Identity). Symbolon's own routes have it, and so has every route of an app that
/// [`Symbolon::serve`](crate::Symbolon::serve) runs.
#[derive(Clone, Debug)]
pub struct Middleware {
    services: Arc<Services>,
}

impl Middleware {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services }
    }
}

impl<E: Endpoint> poem::Middleware<E> for Middleware {
    type Output = WithContext<E>;

    fn transform(&self, next: E) -> Self::Output {
        WithContext {
            services: Arc::clone(&self.services),
            next,
        }
    }
}

/// An endpoint under [`Middleware`].
#[derive(Debug)]
pub struct WithContext<E> {
    services: Arc<Services>,
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
                .map(poem::IntoResponse::into_response);
        }
        let id = request_id();
        let credentials = credentials(request.headers());
        request.extensions_mut().insert(RequestContext {
            id: Arc::clone(&id),
            authentication: Authentication::new(Arc::clone(&self.services), credentials),
        });
        let mut response = match self.next.call(request).await {
            Ok(response) => poem::IntoResponse::into_response(response),
            Err(error) => match error.downcast::<Error>() {
                Ok(error) => refuse(&error, Challenge::Bearer, &id),
                Err(other) => other.into_response(),
            },
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        Ok(response)
    }
}

/// 16 random hexadecimal digits: enough to find a request in a log.
fn request_id() -> Arc<str> {
    let mut id = String::with_capacity(16);
    // Writing to a string does not fail.
    let _ = write!(id, "{:016x}", rand::random::<u64>());
    id.into()
}

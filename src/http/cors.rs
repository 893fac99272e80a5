//! Browsers: which other origins' pages may use the API (Fetch standard, "CORS protocol").

use poem::Request;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse, Response};

use crate::config::HttpConfig;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a page may send: our own, and what Apollo Client and tracing add.
const REQUEST_HEADERS: &str = "accept, authorization, content-type, x-request-id, \
    apollographql-client-name, apollographql-client-version, apollo-require-preflight, \
    x-apollo-operation-id, x-apollo-operation-name, traceparent, tracestate, baggage, sentry-trace";
/// What a page may read besides what every page may.
const RESPONSE_HEADERS: &str = "retry-after, www-authenticate, x-request-id";

/// The answer to a browser that asks whether a page of another origin may send its request;
/// `None` for any other request, and where no other origin may: an app may have rules of its own.
pub(super) fn preflight(request: &Request, config: &HttpConfig) -> Option<Response> {
    let asks = !config.cors_origins.is_empty()
        && request.method() == Method::OPTIONS
        && request.header(header::ORIGIN).is_some()
        && request
            .header(header::ACCESS_CONTROL_REQUEST_METHOD)
            .is_some();
    asks.then(|| {
        StatusCode::NO_CONTENT
            .with_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE")
            .with_header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
            .with_header(header::ACCESS_CONTROL_MAX_AGE, "7200")
            .into_response()
    })
}

/// The request's origin, if its pages may use the API.
pub(super) fn allowed(headers: &HeaderMap, config: &HttpConfig) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let listed = config.cors_origins.iter();
    listed
        .into_iter()
        .any(|listed| origin == listed)
        .then(|| origin.clone())
}

/// Tells the browser that the page may read the answer.
pub(super) fn allow(origin: Option<HeaderValue>, config: &HttpConfig, headers: &mut HeaderMap) {
    if config.cors_origins.is_empty() {
        return;
    }
    // The answer to another origin is another one.
    headers.append(header::VARY, HeaderValue::from_static("Client"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Whether a browser sends the request for a page of another origin than the one that it goes to.
/// Not every browser says so of a WebSocket, or over plain HTTP (Fetch Metadata), but each names the page's
/// origin; a proxy may have changed the host.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin";
    }
    let page = origin.to_str().ok();
    let page = page.and_then(|origin| Some(origin.split_once("://")?.1));
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    !page
        .zip(host)
        .is_some_and(|(page, host)| page.eq_ignore_ascii_case(host))
}

/// Whether a browser sends the request on behalf of another site (Fetch Metadata, `Sec-Fetch-Site`).
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
}

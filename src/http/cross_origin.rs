//! Handles requests from browsers: CORS (Fetch standard, section "CORS protocol"), and checks of the origin
//! of the page that sent a request.

use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse, Request, Response};

use crate::config::HttpConfig;

/// The header that describes how the origin of the page is related to the server (Fetch Metadata
/// Request Headers, section "Sec-Fetch-Site").
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The request headers that a page of another origin can send: the headers that Symbolon reads, and the
/// headers that Apollo Client and tracing libraries add.
const REQUEST_HEADERS: &str = "accept, authorization, content-type, x-request-id, \
    apollographql-client-name, apollographql-client-version, apollo-require-preflight, \
    x-apollo-operation-id, x-apollo-operation-name, traceparent, tracestate, baggage, sentry-trace";
/// The response headers that a page of another origin can read, in addition to the CORS-safelisted
/// response headers.
const RESPONSE_HEADERS: &str = "retry-after, www-authenticate, x-request-id";

/// Returns the response to a CORS preflight request, or `None` for any other request. If no origins are
/// configured, always returns `None`, so that an embedding application can answer preflight requests
/// itself.
pub(super) fn preflight_response(request: &Request, config: &HttpConfig) -> Option<Response> {
    let is_preflight = !config.cors_origins.is_empty()
        && request.method() == Method::OPTIONS
        && request.header(header::ORIGIN).is_some()
        && request
            .header(header::ACCESS_CONTROL_REQUEST_METHOD)
            .is_some();
    is_preflight.then(|| {
        StatusCode::NO_CONTENT
            .with_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE")
            .with_header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
            .with_header(header::ACCESS_CONTROL_MAX_AGE, "7200")
            .into_response()
    })
}

/// Returns the `Origin` of the request if it is one of the configured origins.
pub(super) fn allowed_origin(headers: &HeaderMap, config: &HttpConfig) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_allowed = config.cors_origins.iter().any(|allowed| origin == allowed);
    is_allowed.then(|| origin.clone())
}

/// Adds the CORS response headers, which allow pages of the allowed origin to read the response.
pub(super) fn add_response_headers(
    allowed_origin: Option<HeaderValue>,
    config: &HttpConfig,
    headers: &mut HeaderMap,
) {
    if config.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Returns whether a page of an origin other than the server's sent the request.
///
/// Browsers send `Sec-Fetch-Site` only to trustworthy URLs, and some browsers do not send the header
/// for WebSockets. If the header is missing, `Origin` is compared with `Host`. If a reverse proxy has
/// changed `Host`, a request from the server's own page is treated as a cross-origin request.
pub(super) fn is_cross_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin";
    }
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok();
    let authority = origin.and_then(|origin| Some(origin.split_once("://")?.1));
    !authority
        .zip(host)
        .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// Returns whether a page of another site sent the request, according to `Sec-Fetch-Site`.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
}

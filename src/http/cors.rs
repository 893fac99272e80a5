//! Requests from browsers: CORS (Fetch standard, section "CORS protocol"), and the origin of the page that
//! sends a request.

use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse, Request, Response};

use crate::config::HttpConfig;

/// Fetch Metadata Request Headers, section "Sec-Fetch-Site".
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The headers that a page can send: those that Symbolon reads, and those that Apollo Client and tracing
/// libraries add.
const REQUEST_HEADERS: &str = "accept, authorization, content-type, x-request-id, \
    apollographql-client-name, apollographql-client-version, apollo-require-preflight, \
    x-apollo-operation-id, x-apollo-operation-name, traceparent, tracestate, baggage, sentry-trace";
/// The headers that a page can read, in addition to the CORS-safelisted response headers.
const RESPONSE_HEADERS: &str = "retry-after, www-authenticate, x-request-id";

/// Returns the response to a CORS preflight request. Returns `None` for any other request, and if no origins
/// are configured: an embedding application can then answer preflight requests itself.
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

/// Adds the CORS response headers, with which pages of the allowed origin can read the response.
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
/// Browsers send `Sec-Fetch-Site` to trustworthy URLs only, and some not for WebSockets. Without it, `Origin` is
/// compared with `Host`, which a reverse proxy can have changed: then a request from the server's own page is
/// taken for a cross-origin request.
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

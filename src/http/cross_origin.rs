//! Handles requests from browsers: CORS (Fetch standard, section "CORS protocol"), and checks of the origin
//! of the page that sent a request.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

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
/// The maximum number of refused origins that are logged.
const MAX_LOGGED_ORIGINS: usize = 20;
/// The maximum length of a logged origin, in characters.
const MAX_LOGGED_CHARACTERS: usize = 200;

/// Returns whether a request is a CORS preflight request. If no origins are configured, always returns `false`, so that
/// an embedding application can answer preflight requests itself.
pub(super) fn is_preflight(request: &Request, config: &HttpConfig) -> bool {
    !config.cors_origins.is_empty()
        && request.method() == Method::OPTIONS
        && request.header(header::ORIGIN).is_some()
        && request
            .header(header::ACCESS_CONTROL_REQUEST_METHOD)
            .is_some()
}

/// Returns the response to a CORS preflight request.
pub(super) fn preflight_response(config: &HttpConfig) -> Response {
    StatusCode::NO_CONTENT
        .with_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE")
        .with_header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            request_headers(config),
        )
        .with_header(header::ACCESS_CONTROL_MAX_AGE, "7200")
        .into_response()
}

/// The marker of a response in whose place no response to a CORS preflight request is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoPreflight;

/// Returns whether a response to a CORS preflight request can be sent in place of `response`. After an internal error,
/// the marker may be missing.
pub(super) fn permits_preflight(response: &Response) -> bool {
    response.data::<NoPreflight>().is_none() && !response.status().is_server_error()
}

fn request_headers(config: &HttpConfig) -> String {
    let added = config.cors_headers.iter();
    added.fold(REQUEST_HEADERS.to_owned(), |names, name| {
        format!("{names}, {name}")
    })
}

/// Returns the `Origin` of the request if it is one of the configured origins.
pub(super) fn allowed_origin(headers: &HeaderMap, config: &HttpConfig) -> Option<HeaderValue> {
    if config.cors_origins.is_empty() {
        return None;
    }
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
        if config.cors_credentials {
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
    }
}

/// The refused origins that have been logged.
#[derive(Debug, Default)]
pub(super) struct RefusedOrigins(Mutex<HashSet<HeaderValue>>);

impl RefusedOrigins {
    /// Logs a warning if pages of this other origin cannot read the response, because neither Symbolon nor the
    /// embedding application allows the origin. Each origin is logged at most once, and only [`MAX_LOGGED_ORIGINS`]
    /// origins are logged, because a client can send any origin.
    pub(super) fn log(&self, origin: &HeaderValue, response: &HeaderMap) {
        if response.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() == MAX_LOGGED_ORIGINS || !logged.insert(origin.clone()) {
            return;
        }
        let is_last = logged.len() == MAX_LOGGED_ORIGINS;
        drop(logged);
        let text = String::from_utf8_lossy(origin.as_bytes());
        let text: String = text.chars().take(MAX_LOGGED_CHARACTERS).collect();
        tracing::warn!(
            origin = ?text,
            "a page of another origin cannot use the API. To allow the origin, add it to SYMBOLON_CORS_ORIGINS{}",
            if is_last { ". Further origins are not logged" } else { "" }
        );
    }
}

/// Returns the `Origin` of the request if a page of an origin other than the server's sent the request.
///
/// Browsers send `Sec-Fetch-Site` only to trustworthy URLs, and some browsers do not send the header
/// for WebSockets. If the header is missing, `Origin` is compared with `Host`. If a reverse proxy has
/// changed `Host`, a request from the server's own page is treated as a cross-origin request.
pub(super) fn cross_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_cross_origin = if let Some(site) = headers.get(SEC_FETCH_SITE) {
        site != "same-origin"
    } else {
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let text = origin.to_str().ok();
        let authority = text.and_then(|origin| Some(origin.split_once("://")?.1));
        !authority
            .zip(host)
            .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    is_cross_origin.then_some(origin)
}

/// Returns whether a page of another origin of the same site sent the request, according to `Sec-Fetch-Site`. Browsers
/// omit the header `Origin` from some of these requests, for example from those for images.
pub(super) fn is_same_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site == "same-site")
}

/// Returns whether a page of another site sent the request, according to `Sec-Fetch-Site`.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
}

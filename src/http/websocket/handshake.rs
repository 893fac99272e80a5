//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::Error;
use crate::http::error_responses::{Challenge, error_response};

const SUBPROTOCOL: &str = "graphql-transport-ws";
const VERSION: &str = "13";

/// Returns whether the request is a WebSocket handshake.
pub(crate) fn is_upgrade_request(request: &Request) -> bool {
    let is_websocket = |protocol: &str| protocol.eq_ignore_ascii_case("websocket");
    request.method() == Method::GET && has_item(request.headers(), header::UPGRADE, is_websocket)
}

/// Checks the headers of the request, except `Sec-WebSocket-Version`, and returns the value of
/// `Sec-WebSocket-Accept`.
pub(super) fn accept_key(headers: &HeaderMap) -> Result<String, Error> {
    let check = |is_valid, requirement: &str| {
        if is_valid {
            Ok(())
        } else {
            Err(Error::BadRequest(requirement.to_owned()))
        }
    };
    check(
        has_item(headers, header::SEC_WEBSOCKET_PROTOCOL, |name| {
            name == SUBPROTOCOL
        }),
        "Sec-WebSocket-Protocol must contain graphql-transport-ws.",
    )?;
    check(
        has_item(headers, header::CONNECTION, |name| {
            name.eq_ignore_ascii_case("upgrade")
        }),
        "Connection must contain Upgrade.",
    )?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.map_or(&[][..], HeaderValue::as_bytes);
    check(
        STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16),
        "Sec-WebSocket-Key must be 16 bytes in base64.",
    )?;
    Ok(derive_accept_key(key))
}

/// Returns the response to a request with an unsupported version (RFC 6455, section 4.4), or `None` if
/// the version is supported.
pub(super) fn version_error(headers: &HeaderMap, request_id: &str) -> Option<Response> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version == VERSION) {
        return None;
    }
    let error = Error::BadRequest(format!("Sec-WebSocket-Version must be {VERSION}."));
    let mut response = error_response(&error, Challenge::Bearer, request_id);
    response.set_status(StatusCode::UPGRADE_REQUIRED);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let version = HeaderValue::from_static(VERSION);
    headers.insert(header::SEC_WEBSOCKET_VERSION, version);
    Some(response)
}

/// Returns the response that completes the handshake.
pub(super) fn switching_protocols(accept_key: &str) -> Response {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept_key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .finish()
}

/// Returns whether any item of a comma-separated header matches.
fn has_item(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let items = value.to_str().unwrap_or_default().split(',');
        items.map(str::trim).any(&matches)
    })
}

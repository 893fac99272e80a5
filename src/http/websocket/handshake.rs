//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::Error;
use crate::http::error_responses::{Challenge, refuse};

/// The only sub-protocol.
const PROTOCOL: &str = "graphql-transport-ws";
const VERSION: &str = "13";

/// Whether the request asks for a WebSocket.
pub(in crate::http) fn is_asked_for(request: &Request) -> bool {
    let upgrade = request.header(header::UPGRADE);
    request.method() == Method::GET
        && upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Checks the headers of the request, except the version. Returns the value of `Sec-WebSocket-Accept`.
pub(super) fn accept(headers: &HeaderMap) -> Result<String, Error> {
    if !has_item(headers, header::SEC_WEBSOCKET_PROTOCOL, |name| {
        name == PROTOCOL
    }) {
        let why = format!("The sub-protocol of the socket has to be {PROTOCOL}.");
        return Err(Error::BadRequest(why));
    }
    let is_upgrade = |name: &str| name.eq_ignore_ascii_case("upgrade");
    if !has_item(headers, header::CONNECTION, is_upgrade) {
        let why = "The header Connection has to contain Upgrade.".to_owned();
        return Err(Error::BadRequest(why));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let is_valid = |key: &&HeaderValue| {
        let decoded = STANDARD.decode(key.as_bytes());
        decoded.is_ok_and(|bytes| bytes.len() == 16)
    };
    let Some(key) = key.filter(is_valid) else {
        let why = "The header Sec-WebSocket-Key has to be base64 of 16 bytes.".to_owned();
        return Err(Error::BadRequest(why));
    };
    Ok(derive_accept_key(key.as_bytes()))
}

/// The refusal of another version than the one that RFC 6455 defines.
pub(super) fn refuse_version(headers: &HeaderMap, request_id: &str) -> Option<Response> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version == VERSION) {
        return None;
    }
    let why = format!("The version of the WebSocket has to be {VERSION}.");
    let mut response = refuse(&Error::BadRequest(why), Challenge::Bearer, request_id);
    response.set_status(StatusCode::UPGRADE_REQUIRED);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static(VERSION),
    );
    Some(response)
}

/// The response after which the connection is a WebSocket.
pub(super) fn switching_protocols(accept: &str) -> Response {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .finish()
}

/// Whether one of the comma-separated items of a header is as wanted.
fn has_item(headers: &HeaderMap, name: HeaderName, is_wanted: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let items = value.to_str().unwrap_or_default().split(',');
        items.map(str::trim).any(&is_wanted)
    })
}

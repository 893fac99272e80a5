//! Checks the `Host` header (RFC 9112, section 3.2).

use std::net::Ipv6Addr;

use poem::Request;
use poem::http::{Version, header};

use crate::error::Error;

/// Refuses a request without a `Host` header, unless the request uses HTTP/1.0 or HTTP/2. Also refuses several `Host`
/// headers, an invalid one, and one that differs from the host of an absolute request target: a proxy could take another
/// host from the request than Symbolon, which compares `Host` with `Origin`.
pub(super) fn check(request: &Request) -> Result<(), Error> {
    let refuse = |message: &str| Err(Error::BadRequest(message.to_owned()));
    let target = request.original_uri().authority();
    let is_target = |host: &[u8]| {
        target.is_none_or(|target| target.as_str().as_bytes().eq_ignore_ascii_case(host))
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => {
            refuse("HTTP/1.1 requires a Host header.")
        }
        (Some(_), Some(_)) => refuse("The request has several Host headers."),
        (Some(host), None) if !is_valid(host.as_bytes()) => refuse("The Host header is invalid."),
        (Some(host), None) if !is_target(host.as_bytes()) => {
            refuse("The Host header differs from the host of the request target.")
        }
        _ => Ok(()),
    }
}

/// Returns whether the text is a non-empty host with an optional port (RFC 3986, section 3.2.2).
fn is_valid(text: &[u8]) -> bool {
    let (is_host_valid, rest) = if let Some(bracketed) = text.strip_prefix(b"[") {
        let Some(end) = bracketed.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let address = str::from_utf8(&bracketed[..end]);
        let is_valid = address.is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
        (is_valid, &bracketed[end + 1..])
    } else {
        let end = text.iter().position(|byte| *byte == b':');
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let is_valid = |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~');
        (!name.is_empty() && name.iter().all(is_valid), rest)
    };
    is_host_valid
        && match rest {
            [] => true,
            [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

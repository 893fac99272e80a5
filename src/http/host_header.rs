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
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    let (is_host_valid, rest) = if let Some(bracketed) = text.strip_prefix('[') {
        let Some((address, rest)) = bracketed.split_once(']') else {
            return false;
        };
        (address.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        let is_valid =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
        (!name.is_empty() && name.bytes().all(is_valid), rest)
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_host_valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

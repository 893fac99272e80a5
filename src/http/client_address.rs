//! Determines the address of the client that sent a request, possibly through reverse proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use poem::Request;
use poem::http::{HeaderName, HeaderValue, header};

use crate::config::{ClientAddressHeader, HttpConfig};
use crate::http::forwarded_header;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A warning that a header with the address of the client was ignored. The warning is logged at most once.
#[derive(Debug, Default)]
pub(super) struct IgnoredHeaderWarning(AtomicBool);

impl IgnoredHeaderWarning {
    fn log_once(&self, header: &HeaderName, peer: IpAddr) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "the header {header} is ignored, because this peer is not a trusted proxy. If the peer is \
                 your proxy, add its address to SYMBOLON_TRUSTED_PROXIES. Until then, all clients \
                 of the proxy are counted as one address"
            );
        }
    }
}

/// Returns the address of the client. If the peer of the connection is not a trusted proxy, the client is the peer.
/// Otherwise, the client is the last address in the configured header that is not a trusted proxy. Returns `None` if
/// the request was not received over TCP.
pub(super) fn client_address(
    request: &Request,
    config: &HttpConfig,
    warning: &IgnoredHeaderWarning,
) -> Option<IpAddr> {
    let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
    let (headers, trusted) = (request.headers(), &config.trusted_proxies);
    let name = match config.client_address_header {
        ClientAddressHeader::XForwardedFor => X_FORWARDED_FOR,
        ClientAddressHeader::Forwarded => header::FORWARDED,
    };
    if !is_trusted(trusted, peer) {
        if headers.contains_key(&name) {
            warning.log_once(&name, peer);
        }
        return Some(peer);
    }
    let lines = headers
        .get_all(name)
        .iter()
        .rev()
        .map(HeaderValue::as_bytes);
    Some(match config.client_address_header {
        ClientAddressHeader::XForwardedFor => {
            last_untrusted(peer, lines.flat_map(addresses_from_end), trusted)
        }
        ClientAddressHeader::Forwarded => {
            let nodes = lines.flat_map(forwarded_header::nodes_from_end);
            last_untrusted(peer, nodes, trusted)
        }
    })
}

/// Returns the elements of a line of `X-Forwarded-For`, starting with the last one. Empty elements are skipped.
fn addresses_from_end(line: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let elements = line.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.filter(|element| !element.is_empty()).map(Some)
}

/// Returns the first hop that is not a trusted proxy, starting at the nearest hop, `peer`. `hops` contains the elements
/// of the header, starting with the last one. `None` is an element without an address.
///
/// Each proxy appends the address of its own peer to the header. An element is therefore reliable only
/// if all hops after it are trusted proxies, and a client can write only the elements before its own
/// address. If an element is not an address, the hop that wrote the element is returned as the client.
fn last_untrusted<'a>(
    peer: IpAddr,
    mut hops: impl Iterator<Item = Option<&'a [u8]>>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut client = peer;
    while is_trusted(trusted, client) {
        let Some(hop) = hops.next().flatten().and_then(parse_node) else {
            break;
        };
        client = hop;
    }
    client
}

/// Returns whether the address is in one of the trusted networks.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// Parses the address of a node (RFC 7239, section 6), with or without quotes and a port. Beyond the
/// RFC, an IPv6 address can have a zone, and does not require brackets. Returns `None` for `unknown`
/// and for obfuscated identifiers.
fn parse_node(element: &[u8]) -> Option<IpAddr> {
    let quoted = element.strip_prefix(b"\"");
    let unquoted = quoted.and_then(|element| element.strip_suffix(b"\""));
    let text = str::from_utf8(unquoted.unwrap_or(element)).ok()?;
    if let Some(address) = parse_ipv6(text) {
        return Some(address);
    }
    let (address, rest) = if let Some(text) = text.strip_prefix('[') {
        let (address, rest) = text.split_once(']')?;
        (parse_ipv6(address)?, rest)
    } else {
        let (address, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), rest)
    };
    let is_port = rest.strip_prefix(':').is_some_and(is_port);
    (rest.is_empty() || is_port).then_some(address)
}

fn parse_ipv6(text: &str) -> Option<IpAddr> {
    let without_zone = text.split('%').next()?;
    let address: Ipv6Addr = without_zone.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

/// Returns whether the text is a `node-port`: a number of at most five digits, or an obfuscated port.
fn is_port(text: &str) -> bool {
    let is_obfuscated = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_obfuscated),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Returns the client of a request whose peer is 10.0.0.1. All addresses in 10.0.0.0/8 are trusted.
    fn client(lines: &[&[u8]]) -> String {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let lines = lines.iter().rev().copied();
        last_untrusted(peer, lines.flat_map(addresses_from_end), &trusted).to_string()
    }

    #[test]
    fn a_hop_is_a_node_of_rfc_7239() {
        for (node, address) in [
            ("203.0.113.7:_a.b-c", "203.0.113.7"),
            ("\"203.0.113.7:5123\"", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
            ("\"[2001:DB8:0::7]\"", "2001:db8::7"),
            ("[fe80::1%eth0]:443", "fe80::1"),
            // If an element is not a valid address, the hop that wrote the element is the client.
            ("203.0.113.7:", "10.1.1.1"),
            ("203.0.113.7:123456", "10.1.1.1"),
            ("203.0.113.07", "10.1.1.1"),
            ("[203.0.113.7]", "10.1.1.1"),
            ("[2001:db8::7", "10.1.1.1"),
            ("2001:db8::7]", "10.1.1.1"),
            ("[2001:db8::7]443", "10.1.1.1"),
            ("\"203.0.113.7", "10.1.1.1"),
        ] {
            let header = format!("198.51.100.1, {node}, 10.1.1.1:80");
            assert_eq!(client(&[header.as_bytes()]), address, "{node}");
        }
    }

    proptest! {
        /// `written` contains the header lines that the client sends. The proxy appends the client's address.
        #[test]
        fn a_client_cannot_change_its_address(
            written in vec(vec(any::<u8>(), 0..20), 0..4),
            address in any::<[u8; 4]>().prop_filter("not trusted", |bytes| bytes[0] != 10),
            is_new_line in any::<bool>(),
        ) {
            let address = IpAddr::from(address);
            let appended = format!("{address}, 10.2.2.2").into_bytes();
            let mut lines = written;
            match lines.last_mut() {
                Some(last) if !is_new_line => {
                    last.extend(b", ");
                    last.extend(appended);
                }
                _ => lines.push(appended),
            }
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(client(&lines), address.to_string());
        }

        /// Even if the address of a client is trusted by mistake, the client is not mistaken for the proxy.
        #[test]
        fn a_client_is_never_taken_for_the_proxy(
            mut line in vec(any::<u8>().prop_filter("not in the proxy's address", |byte| *byte != b'2'), 0..40),
        ) {
            line.extend(b", 10.9.9.9, 10.2.2.2");
            prop_assert_ne!(client(&[&line]), "10.2.2.2");
        }
    }
}

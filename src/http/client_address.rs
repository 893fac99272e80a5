//! The address of the client that a request comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use poem::Request;
use poem::http::HeaderName;

use crate::http::AppState;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether the log has said that `X-Forwarded-For` of a peer is ignored, which it says once.
#[derive(Debug, Default)]
pub(crate) struct IgnoredForwardedHeader(AtomicBool);

impl IgnoredForwardedHeader {
    fn warn(&self, peer: IpAddr) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "X-Forwarded-For is ignored, because this peer is not a trusted proxy. If it is your \
                 proxy, add its address to SYMBOLON_TRUSTED_PROXIES: until then all its clients are \
                 counted as one address"
            );
        }
    }
}

/// The client's address: the socket's peer, unless that is a trusted proxy: then the last address in
/// `X-Forwarded-For` that is not one. `None` where there is no socket.
pub(super) fn client(request: &Request, state: &AppState) -> Option<IpAddr> {
    let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
    let headers = request.headers();
    let trusted = &state.http.trusted_proxies;
    if !is_trusted(trusted, peer) {
        if headers.contains_key(X_FORWARDED_FOR) {
            state.ignored_forwarding.warn(peer);
        }
        return Some(peer);
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let lines = lines.iter().rev().map(|line| line.as_bytes());
    Some(last_untrusted(peer, lines, trusted))
}

/// Follows the hops from the nearest one, `peer`, to the first that is not a trusted proxy. `lines`
/// are the header's, the last one first.
///
/// Each proxy writes the address of its own peer behind what it received. So an element is believed
/// only if all hops behind it are trusted proxies, and no client can write anything behind its own
/// address. An element that is not an address ends the walk: the client is then the hop that wrote it.
/// For a client to be counted as a trusted proxy, that proxy itself has to write such an element.
fn last_untrusted<'a>(
    peer: IpAddr,
    lines: impl Iterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let elements = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
    let mut hops = elements
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty());
    let mut client = peer;
    while is_trusted(trusted, client) {
        let Some(hop) = hops.next().and_then(node) else {
            break;
        };
        client = hop;
    }
    client
}

pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The address of a node (RFC 7239, section 6), which may be quoted and have a port. An IPv6 address
/// need not have brackets, and may have a zone. `None` for `unknown` and obfuscated identifiers.
fn node(element: &[u8]) -> Option<IpAddr> {
    let quoted = element.strip_prefix(b"\"");
    let unquoted = quoted.and_then(|element| element.strip_suffix(b"\""));
    let text = str::from_utf8(unquoted.unwrap_or(element)).ok()?;
    if let Some(address) = ipv6(text) {
        return Some(address);
    }
    let (address, rest) = if let Some(text) = text.strip_prefix('[') {
        let (address, rest) = text.split_once(']')?;
        (ipv6(address)?, rest)
    } else {
        let (address, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), rest)
    };
    let is_port = rest.strip_prefix(':').is_some_and(is_port);
    (rest.is_empty() || is_port).then_some(address)
}

fn ipv6(text: &str) -> Option<IpAddr> {
    let address = text
        .split_once('%')
        .map_or(text, |(address, _zone)| address);
    let address: Ipv6Addr = address.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

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

    const PEER: [u8; 4] = [10, 0, 0, 1];

    fn client_of(lines: &[&[u8]]) -> String {
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:1::/48".parse().unwrap(),
        ];
        let lines = lines.iter().rev().copied();
        last_untrusted(PEER.into(), lines, &trusted).to_string()
    }

    #[test]
    fn a_hop_is_a_node_of_rfc_7239() {
        for (node, client) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:5123", "203.0.113.7"),
            ("203.0.113.7:_a.b-c", "203.0.113.7"),
            ("\"203.0.113.7:5123\"", "203.0.113.7"),
            ("\t 203.0.113.7 ", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("\"[2001:db8::7]:443\"", "2001:db8::7"),
            ("\"[2001:DB8:0::7]\"", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:443", "fe80::1"),
        ] {
            assert_eq!(client_of(&[node.as_bytes()]), client, "{node}");
            let spoofed = format!("198.51.100.1, {node}");
            assert_eq!(client_of(&[spoofed.as_bytes()]), client, "{spoofed}");
            let chain = format!("198.51.100.1, {node}, 10.1.1.1:80, [2001:db8:1::1]:80");
            assert_eq!(client_of(&[chain.as_bytes()]), client, "{chain}");
        }
    }

    #[test]
    fn the_hop_that_wrote_no_address_is_the_client() {
        for element in [
            "unknown",
            "_hidden",
            "unix:",
            "nonsense",
            "203.0.113.7:",
            "203.0.113.7:x",
            "203.0.113.7:123456",
            "203.0.113.07",
            "203.0.113.7 203.0.113.8",
            "[203.0.113.7]",
            "[2001:db8::7",
            "2001:db8::7]",
            "[2001:db8::7]443",
            "\"203.0.113.7",
            "%",
        ] {
            let alone = element.as_bytes();
            assert_eq!(client_of(&[alone]), "10.0.0.1", "{element}");
            let between = format!("203.0.113.7, {element}, 10.2.2.2");
            assert_eq!(client_of(&[between.as_bytes()]), "10.2.2.2", "{element}");
        }
        assert_eq!(client_of(&[b"203.0.113.7, \xff, 10.2.2.2"]), "10.2.2.2");
    }

    #[test]
    fn empty_elements_are_ignored_and_lines_are_one_list() {
        for lines in [
            &[&b"203.0.113.7,"[..]][..],
            &[b"203.0.113.7, ,\t,"],
            &[b",203.0.113.7,,10.2.2.2,"],
            &[b"203.0.113.7", b""],
            &[b"198.51.100.1", b"203.0.113.7", b"10.2.2.2"],
            &[b"198.51.100.1, 203.0.113.7", b"10.2.2.2, 10.3.3.3"],
            &[b"\xff, 203.0.113.7"],
            &[b"\xff", b"203.0.113.7"],
        ] {
            assert_eq!(client_of(lines), "203.0.113.7", "{lines:?}");
        }
        for lines in [&[][..], &[&b""[..]], &[b", ,"]] {
            assert_eq!(client_of(lines), "10.0.0.1");
        }
        // Where all hops are trusted, the client is the farthest.
        assert_eq!(client_of(&[b"10.3.3.3, 10.2.2.2"]), "10.3.3.3");
    }

    proptest! {
        /// The bytes are all that a client of a proxy can write: the proxy adds its address behind.
        #[test]
        fn a_client_cannot_change_its_address(
            written in vec(vec(any::<u8>(), 0..20), 0..4),
            client in any::<[u8; 4]>().prop_filter("not trusted", |bytes| bytes[0] != 10),
            is_own_line in any::<bool>(),
        ) {
            let client = IpAddr::from(client);
            let expected = client.to_string();
            let added = format!("{client}, 10.2.2.2");
            let mut lines = written.clone();
            match lines.last_mut() {
                Some(last) if !is_own_line => {
                    last.extend(b", ");
                    last.extend(added.as_bytes());
                }
                _ => lines.push(added.into_bytes()),
            }
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(client_of(&lines), expected);
        }

        /// A client whose own address is trusted by mistake still does not count as a proxy in front.
        #[test]
        fn a_client_never_counts_as_the_proxy_in_front(
            written in vec(any::<u8>().prop_filter("of the proxy's address", |byte| *byte != b'2'), 0..40),
        ) {
            let mut line = written;
            line.extend(b", 10.9.9.9, 10.2.2.2");
            let client = client_of(&[&line]);
            prop_assert_ne!(client, "10.2.2.2");
        }

        #[test]
        fn no_bytes_are_a_panic(line in vec(any::<u8>(), 0..60)) {
            client_of(&[&line]);
        }
    }
}

//! The client that sent a request.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::text_limits;

/// The client that sent a request: the address, the id of the request, and the `User-Agent` header.
///
/// Symbolon counts attempts per address, and records the address and the request id in the audit trail. The default is
/// an unknown client. The sign-ins of unknown clients are counted per username only, and their registrations are not limited.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
///
/// use symbolon::Client;
///
/// let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
/// let client = Client::new(Some(address)).with_user_agent("curl/8.5.0");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) user_agent: Option<Arc<str>>,
}

impl Client {
    /// Returns a client with this address. Behind a reverse proxy, `address` must be the address that a trusted proxy
    /// reports. Otherwise, all clients share one rate limit.
    ///
    /// ```
    /// let peer = "192.0.2.1:50000".parse::<std::net::SocketAddr>().unwrap();
    /// let client = symbolon::Client::new(Some(peer.ip()));
    /// ```
    #[must_use]
    pub fn new(address: Option<IpAddr>) -> Self {
        Self {
            address: address.map(|address| address.to_canonical()),
            ..Self::default()
        }
    }

    /// Sets the `User-Agent` header, which the list of sessions shows. A longer text is truncated to 256 characters. A
    /// text that contains characters other than visible ASCII characters and spaces is ignored.
    ///
    /// ```
    /// let client = symbolon::Client::new(None).with_user_agent("curl/8.5.0");
    /// ```
    #[must_use]
    pub fn with_user_agent(self, user_agent: &str) -> Self {
        Self {
            user_agent: parse_user_agent(user_agent),
            ..self
        }
    }

    /// Sets the id of the request. The id consists of 1 to 64 ASCII letters, digits, `-`, `_` and `.`. Any other text is
    /// replaced by a random id.
    ///
    /// ```
    /// let client = symbolon::Client::new(None).with_request_id("3f0c2a");
    /// ```
    #[must_use]
    pub fn with_request_id(self, id: &str) -> Self {
        Self {
            request_id: Some(request_id(Some(id))),
            ..self
        }
    }

    /// Sets a random request id if there is none.
    pub(crate) fn with_default_request_id(self) -> Self {
        let id = self.request_id.unwrap_or_else(|| request_id(None));
        Self {
            request_id: Some(id),
            ..self
        }
    }

    /// Returns the [`network`] of the address.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.address.map(network)
    }
}

/// Returns `received` if it is a valid request id, and 16 random hexadecimal digits otherwise.
pub(crate) fn request_id(received: Option<&str>) -> Arc<str> {
    let is_valid = |id: &&str| {
        (1..=text_limits::REQUEST_ID).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    received.filter(is_valid).map_or_else(
        || format!("{:016x}", rand::random::<u64>()).into(),
        Into::into,
    )
}

/// Returns a `User-Agent` header, truncated to 256 characters. Returns `None` if the header contains characters other
/// than visible ASCII characters and whitespace.
pub(crate) fn parse_user_agent(text: &str) -> Option<Arc<str>> {
    let is_valid = text
        .bytes()
        .all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic());
    is_valid.then(|| text[..text.len().min(text_limits::USER_AGENT)].into())
}

/// Returns the address for which attempts and connections are counted: an IPv4 address, or the /64 network of an IPv6
/// address. An IPv6 host can use any address of its /64 network (RFC 6177).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
    }
}

//! The client that sent a request.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// The client that sent a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
    /// The `User-Agent` header.
    pub(crate) user_agent: Option<Arc<str>>,
}

impl Client {
    /// Returns the [`network`] of the address.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.address.map(network)
    }
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

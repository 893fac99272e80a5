//! Where a request comes from.

use std::net::IpAddr;

use poem::Request;

use crate::config::HttpConfig;

/// The client's address: the socket's peer, unless that is a proxy that is trusted: then the last
/// address in `X-Forwarded-For` that is not one. `None` where there is no socket.
pub(super) fn client(request: &Request, config: &HttpConfig) -> Option<IpAddr> {
    let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
    let trusted = |address: &IpAddr| {
        config
            .trusted_proxies
            .iter()
            .any(|net| net.contains(address))
    };
    if !trusted(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    let forwarded = request.headers().get_all("x-forwarded-for").iter();
    let hops: Vec<_> = forwarded
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .collect();
    for hop in hops.iter().rev() {
        // What a trusted proxy did not write so is nobody's word.
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = hop.to_canonical();
        if !trusted(&client) {
            break;
        }
    }
    Some(client)
}

//! The addresses on which the server listens.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::settings::{Host, Settings, Source};

/// The maximum number of connections that wait to be accepted. The usual 128 is too low when many clients reconnect
/// at once: the system drops or resets the excess connections.
const BACKLOG: u32 = 1024;

/// The reason why the server cannot listen. The message names the settings.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ListenError {
    message: String,
    /// The address, or `None` if the host name cannot be resolved.
    pub(super) address: Option<SocketAddr>,
    pub(super) kind: io::ErrorKind,
}

impl ListenError {
    /// Returns what the operator can do.
    pub(super) fn advice(&self) -> &'static str {
        if self.address.is_none() {
            return "set the host to an address of this machine, or to a name that resolves to one";
        }
        match self.kind {
            io::ErrorKind::AddrInUse => {
                "end the program that uses the port, or set another address or port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "set the host to an address of this machine, such as 127.0.0.1 or 0.0.0.0"
            }
            io::ErrorKind::PermissionDenied => {
                "set a port from 1024, or permit the user to use smaller ports"
            }
            _ => "set another address or port",
        }
    }
}

/// Listens on the host and the port of the settings.
///
/// # Errors
///
/// Returns an error if the host name cannot be resolved, or if the port cannot be bound.
pub(super) async fn listen(settings: &Settings) -> Result<TcpListener, ListenError> {
    let sources = ["host", "port"].map(|flag| settings.source(flag));
    listen_on(&settings.values.host, settings.values.port, sources).await
}

/// Listens on the host and the port for metrics, if the settings contain the port.
///
/// # Errors
///
/// Returns an error if the host name cannot be resolved, or if the port cannot be bound.
pub(super) async fn listen_for_metrics(
    settings: &Settings,
) -> Result<Option<TcpListener>, ListenError> {
    let Some(port) = settings.values.metrics_port else {
        return Ok(None);
    };
    let sources = ["metrics-host", "metrics-port"].map(|flag| settings.source(flag));
    let listener = listen_on(&settings.values.metrics_host, port, sources).await;
    listener.map(Some)
}

/// Listens on a host and a port that come from these sources.
async fn listen_on(
    host: &Host,
    port: u16,
    sources: [Source; 2],
) -> Result<TcpListener, ListenError> {
    let [host_source, _] = sources;
    let address = resolve(host).await.map_err(|error| ListenError {
        message: format!("{host_source}: the host name {host} cannot be resolved: {error}"),
        address: None,
        kind: error.kind(),
    })?;
    let on = match host {
        Host::Address(_) => format!("{host} port {port}"),
        Host::Name(_) => format!("{host} ({address}) port {port}"),
    };
    bind(address, port).map_err(|error| {
        let sources = sources.map(|source| match source {
            Source::Default => None,
            source => Some(source.to_string()),
        });
        let sources: Vec<_> = sources.into_iter().flatten().collect();
        let set_by = match &*sources {
            [] => String::new(),
            sources => format!(" (set by {})", sources.join(" and ")),
        };
        ListenError {
            message: format!("cannot listen on {on}{set_by}: {error}"),
            address: Some((address, port).into()),
            kind: error.kind(),
        }
    })
}

/// Returns the address of a host. Of several addresses, the first IPv4 address is used, or the first IPv6 address if
/// there is no IPv4 address.
async fn resolve(host: &Host) -> io::Result<IpAddr> {
    let name = match host {
        Host::Address(address) => return Ok(*address),
        Host::Name(name) => name,
    };
    let addresses = lookup_host((name.as_str(), 0)).await?;
    // `min_by_key` returns the first of several addresses.
    let address = addresses
        .map(|address| address.ip())
        .min_by_key(IpAddr::is_ipv6);
    address.ok_or_else(|| io::Error::other("the name has no address"))
}

fn bind(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = match host {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Without this option, `bind` fails while connections of a previous server on this port are closing.
    socket.set_reuseaddr(true)?;
    socket.bind((host, port).into())?;
    socket.listen(BACKLOG)
}

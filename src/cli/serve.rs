//! `symbolon serve`

use std::error::Error;
use std::future::pending;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use symbolon::Config;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use super::database;
use super::settings::Settings;

/// The maximum number of connections that wait to be accepted. The usual 128 is too low when many clients reconnect
/// at once: the system drops or resets the excess connections.
const BACKLOG: u32 = 1024;

/// The default address to listen on, and the address for metrics.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The default port.
pub(super) const PORT: u16 = 8000;

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address to listen on
    ///
    /// [env: HOST]
    #[arg(long, env = "HOST", default_value_t = HOST, hide_env = true, help_heading = "Server")]
    host: IpAddr,

    /// Port to listen on
    ///
    /// With 0, the system selects a free port.
    ///
    /// [env: PORT]
    #[arg(long, env = "PORT", default_value_t = PORT, hide_env = true, help_heading = "Server")]
    port: u16,

    /// Port on 127.0.0.1 at which the server provides /metrics for Prometheus
    ///
    /// If no port is set, the server provides no metrics.
    ///
    /// [env: SYMBOLON_METRICS_PORT]
    #[arg(
        long,
        env = "SYMBOLON_METRICS_PORT",
        value_name = "PORT",
        hide_env = true,
        help_heading = "Server"
    )]
    metrics_port: Option<u16>,

    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(super) fn config(self) -> Config {
        self.settings.0
    }

    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let host = self.host;
        // The ports are bound before the database is opened, so that a failed start creates no files.
        let listener = bind(host, self.port)?;
        let address = listener.local_addr()?;
        let metrics = self.metrics_port.map(|port| bind(HOST, port)).transpose()?;
        let symbolon = database::create(self.config()).await?;
        let app = symbolon.own_routes();
        let shutdown = shutdown()?;
        writeln!(
            io::stdout(),
            "Symbolon {version} listens on http://{address}\n\
             data       {database}\n\
             try first  open http://{address}/ in a browser, or\n  \
             curl http://{address}/graphql -H 'Content-Type: application/json' -d '{{\"query\":\"{{ __typename }}\"}}'",
            version = env!("CARGO_PKG_VERSION"),
            database = symbolon.database(),
        )?;
        if !host.is_loopback() {
            tracing::warn!(
                %address,
                "clients send passwords and tokens unencrypted: use a reverse proxy that terminates TLS"
            );
        }
        if let Some(listener) = metrics {
            let symbolon = symbolon.clone();
            // Metrics are available until the process exits.
            tokio::spawn(async move { symbolon.serve_metrics(listener, pending()).await });
        }
        symbolon.serve(app, listener, shutdown).await?;
        Ok(())
    }
}

fn bind(host: IpAddr, port: u16) -> Result<TcpListener, String> {
    let listen = || {
        let socket = match host {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // Without this option, `bind` fails while connections of a previous server on this port are closing.
        socket.set_reuseaddr(true)?;
        socket.bind((host, port).into())?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error: io::Error| format!("cannot listen on {host} port {port}: {error}"))
}

/// Installs signal handlers. Returns a future that completes at the first SIGTERM or SIGINT.
fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

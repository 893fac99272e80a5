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

/// Connections that may wait to be taken. The usual 128 overflow when a crowd comes back at once, and
/// the system drops or resets what is too many.
const BACKLOG: u32 = 1024;

/// Where it listens unless told otherwise.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const PORT: u16 = 8000;

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The address to listen on
    #[arg(long, env = "HOST", default_value_t = HOST)]
    host: IpAddr,

    /// The port to listen on; 0 for any that is free
    #[arg(long, env = "PORT", default_value_t = PORT)]
    port: u16,

    /// Serve /metrics for Prometheus on this port of 127.0.0.1
    #[arg(long, env = "SYMBOLON_METRICS_PORT", value_name = "PORT")]
    metrics_port: Option<u16>,

    #[command(flatten)]
    config: Config,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Self {
            host,
            port,
            metrics_port,
            config,
        } = self;
        // First of all, so that nothing is made where nothing can be served.
        let listener = bind(host, port)?;
        let address = listener.local_addr()?;
        let metrics = metrics_port.map(|port| bind(Ipv4Addr::LOCALHOST.into(), port));
        let metrics = metrics.transpose()?;
        let symbolon = database::create(config).await?;
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
                "passwords and tokens arrive unencrypted: let a proxy in front speak TLS"
            );
        }
        if let Some(listener) = metrics {
            let symbolon = symbolon.clone();
            // Ends with the process.
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
        // Connections of a server before this one may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind((host, port).into())?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error: io::Error| format!("cannot listen on {host} port {port}: {error}"))
}

/// Ends at the first SIGTERM or SIGINT.
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

//! `symbolon serve`

use std::error::Error;
use std::future::pending;
use std::io::{self, Write};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::database::{self, Sources};
use super::listen::{listen, listen_for_metrics};
use super::settings::Settings;
use crate::logging;

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        // The ports are bound before the database is opened, so that a failed start creates no files.
        let listener = listen(&self.settings).await?;
        let address = listener.local_addr()?;
        let metrics = listen_for_metrics(&self.settings).await?;
        let sources = Sources::of(&self.settings);
        let has_explorer = cfg!(feature = "explorer") && self.settings.values.config.http.explorer;
        let symbolon = database::create(self.settings.values.config, sources).await?;
        let app = symbolon.own_routes();
        let shutdown = shutdown()?;
        let (version, database) = (env!("CARGO_PKG_VERSION"), symbolon.database());
        // Containers merge standard output and the log, which must then consist of JSON lines.
        if logging::is_json() {
            let url = format!("http://{address}");
            tracing::info!(version, url, database, "Symbolon is listening");
        } else {
            let query = r#"{"query":"{ __typename }"}"#;
            let curl = format!(
                "curl http://{address}/graphql -H 'Content-Type: application/json' -d '{query}'"
            );
            let first = if has_explorer {
                format!("open http://{address}/ in a browser, or\n  {curl}")
            } else {
                curl
            };
            writeln!(
                io::stdout(),
                "Symbolon {version} listens on http://{address}\n\
                 data       {database}\n\
                 try first  {first}",
            )?;
        }
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "clients send passwords and tokens unencrypted: use a reverse proxy that terminates TLS"
            );
        }
        if let Some(listener) = metrics {
            let address = listener.local_addr()?;
            if !address.ip().is_loopback() {
                tracing::warn!(
                    %address,
                    "metrics require no authentication: only Prometheus should be able to reach this address"
                );
            }
            let symbolon = symbolon.clone();
            // Metrics are available until the process exits.
            tokio::spawn(async move { symbolon.serve_metrics(listener, pending()).await });
        }
        symbolon.serve(app, listener, shutdown).await?;
        Ok(())
    }
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

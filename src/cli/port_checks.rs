//! The checks of the ports by `symbolon check`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::check_row::{CheckRow, Outcome, row};
use super::healthcheck::{get, reachable};
use super::listen::{ListenError, listen, listen_for_metrics};
use super::settings::Settings;

/// The maximum time to wait for a server that uses a port.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Checks that the ports can be bound, or that a server of Symbolon already uses them.
pub(super) async fn check_ports(settings: &Settings) -> Vec<CheckRow> {
    let listener = listen(settings).await;
    let metrics = listen_for_metrics(settings).await;
    let values = &settings.values;
    let is_same_port = values.metrics_port == Some(values.port);
    let mut checks = vec![match &listener {
        Ok(listener) => {
            let detail = format!("{} is free", address_of(listener));
            row("port", Outcome::Ok, detail)
        }
        Err(error) => used_port("port", error, "/readyz", is_symbolon).await,
    }];
    match metrics {
        Ok(None) => {}
        Ok(Some(listener)) => {
            let detail = format!("{} is free", address_of(&listener));
            checks.push(row("metrics port", Outcome::Ok, detail));
        }
        Err(error) if is_same_port && error.kind == ErrorKind::AddrInUse && listener.is_ok() => {
            let advice = "the server itself listens on this port; set another port for metrics";
            let detail = format!("{error}; {advice}");
            checks.push(row("metrics port", Outcome::Failed, detail));
        }
        Err(error) => {
            let is_metrics = |_, body: &str| body.contains("symbolon_");
            checks.push(used_port("metrics port", &error, "/metrics", is_metrics).await);
        }
    }
    checks
}

fn address_of(listener: &TcpListener) -> String {
    let address = listener.local_addr();
    address.map_or_else(|_| "the port".to_owned(), |address| address.to_string())
}

/// Returns a note if the server that uses a port is a server of Symbolon, and a failure otherwise. A request is sent only
/// if the port is in use, because the address is then one of this machine.
async fn used_port(
    check: &'static str,
    error: &ListenError,
    path: &str,
    is_symbolon: impl Fn(StatusCode, &str) -> bool,
) -> CheckRow {
    let in_use = error.address.filter(|_| error.kind == ErrorKind::AddrInUse);
    if let Some(address) = in_use.map(reachable)
        && let Some((status, body)) = ask(address, path).await
        && is_symbolon(status, &body)
    {
        let detail =
            format!("a running server uses the port: http://{address}{path} answers {status}");
        return row(check, Outcome::Note, detail);
    }
    row(
        check,
        Outcome::Failed,
        format!("{error}; {}", error.advice()),
    )
}

async fn ask(address: SocketAddr, path: &str) -> Option<(StatusCode, String)> {
    let answer = timeout(TIME_LIMIT, get(&address.to_string(), path)).await;
    answer.ok()?.ok()
}

/// Returns whether a response to `/readyz` is one of Symbolon.
fn is_symbolon(status: StatusCode, body: &str) -> bool {
    match status {
        StatusCode::OK => body == "ready\n",
        StatusCode::SERVICE_UNAVAILABLE => {
            let body: Option<Value> = serde_json::from_str(body).ok();
            body.is_some_and(|body| body.to_string().contains("\"SERVICE_UNAVAILABLE\""))
        }
        _ => false,
    }
}

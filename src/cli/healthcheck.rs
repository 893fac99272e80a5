//! `symbolon healthcheck`

use std::error::Error;
use std::future::poll_fn;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::{Host, Settings, options};

/// The maximum time to wait for a response.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The size of a body in bytes after which no more is read.
const MAX_BODY: usize = 64 * 1024;

/// The address of the server. For 0.0.0.0 and ::, the command connects to the loopback address.
#[derive(Debug)]
pub(super) struct Healthcheck(Settings);

const OPTIONS: [&str; 2] = ["host", "port"];

impl Args for Healthcheck {
    fn augment_args(command: Command) -> Command {
        command.args(options(&OPTIONS))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Healthcheck {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Settings::read(matches, |option| OPTIONS.contains(&option)).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the host and the port of a server with these settings, as they appear in a URL.
fn authority(settings: &Settings) -> String {
    let port = settings.values.port;
    match &settings.values.host {
        Host::Address(host) => reachable((*host, port).into()).to_string(),
        Host::Name(host) => format!("{host}:{port}"),
    }
}

/// Returns the address at which a server on this machine is reached that listens on `address`.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(host) if host.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let address = authority(&self.0);
        let url = format!("http://{address}/readyz");
        match timeout(TIME_LIMIT, get(&address, "/readyz")).await {
            Ok(Ok((StatusCode::OK, _))) => Ok(writeln!(std::io::stdout(), "ready")?),
            Ok(Ok((status, _))) => Err(format!("{url} answers {status}").into()),
            Ok(Err(error)) => Err(format!("{url}: {error}").into()),
            Err(_) => {
                Err(format!("{url} does not answer within {} s", TIME_LIMIT.as_secs()).into())
            }
        }
    }
}

/// Sends a request. Returns the status and the beginning of the body.
pub(super) async fn get(address: &str, path: &str) -> Result<(StatusCode, String), Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The result of this task is ignored, because `send_request` also returns the errors of the connection.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address);
    let response = sender.send_request(request.body(String::new())?).await?;
    let status = response.status();
    let (mut body, mut text) = (response.into_body(), Vec::new());
    while text.len() < MAX_BODY
        && let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

//! `symbolon healthcheck`

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::{Host, Settings, options};

/// The maximum time to wait for a response.
const TIME_LIMIT: Duration = Duration::from_secs(5);

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
pub(super) fn authority(settings: &Settings) -> String {
    let host: Host = match &settings.values.host {
        Host::Address(IpAddr::V4(host)) if host.is_unspecified() => {
            Host::Address(Ipv4Addr::LOCALHOST.into())
        }
        Host::Address(IpAddr::V6(host)) if host.is_unspecified() => {
            Host::Address(Ipv6Addr::LOCALHOST.into())
        }
        host => host.clone(),
    };
    let port = settings.values.port;
    match host {
        Host::Address(IpAddr::V6(host)) => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let address = authority(&self.0);
        let url = format!("http://{address}/readyz");
        match timeout(TIME_LIMIT, get_readyz(&address)).await {
            Ok(Ok(StatusCode::OK)) => Ok(writeln!(std::io::stdout(), "ready")?),
            Ok(Ok(status)) => Err(format!("{url} answers {status}").into()),
            Ok(Err(error)) => Err(format!("{url}: {error}").into()),
            Err(_) => {
                Err(format!("{url} does not answer within {} s", TIME_LIMIT.as_secs()).into())
            }
        }
    }
}

pub(super) async fn get_readyz(address: &str) -> Result<StatusCode, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The result of this task is ignored, because `send_request` also returns the errors of the connection.
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, address);
    let response = sender.send_request(request.body(String::new())?).await?;
    Ok(response.status())
}

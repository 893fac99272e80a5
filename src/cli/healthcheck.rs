//! `symbolon healthcheck`

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::serve;

/// The maximum time to wait for a response.
const TIME_LIMIT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    /// Address of the server
    ///
    /// For 0.0.0.0 and ::, the command connects to the loopback address.
    #[arg(long, env = "HOST", default_value_t = serve::HOST)]
    host: IpAddr,

    /// Port of the server
    #[arg(long, env = "PORT", default_value_t = serve::PORT)]
    port: u16,
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let host = match self.host {
            IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        let address = SocketAddr::new(host, self.port);
        let url = format!("http://{address}/readyz");
        match timeout(TIME_LIMIT, get_readyz(address)).await {
            Ok(Ok(StatusCode::OK)) => Ok(writeln!(std::io::stdout(), "ready")?),
            Ok(Ok(status)) => Err(format!("{url} answers {status}").into()),
            Ok(Err(error)) => Err(format!("{url}: {error}").into()),
            Err(_) => {
                Err(format!("{url} does not answer within {} s", TIME_LIMIT.as_secs()).into())
            }
        }
    }
}

async fn get_readyz(address: SocketAddr) -> Result<StatusCode, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The result of this task is ignored, because `send_request` also returns the errors of the connection.
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, address.to_string());
    let response = sender.send_request(request.body(String::new())?).await?;
    Ok(response.status())
}

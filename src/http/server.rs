//! Take connections, and serve HTTP/1.1 on them.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::header;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, IntoResponse, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use crate::config::HttpConfig;
use crate::error::Error;
use crate::http::capacity::{Share, Shares, connections_of_address, most_connections, network};
use crate::http::client_address::is_trusted;
use crate::http::error_responses::{Challenge, refuse};

/// Requests under way get this long to end when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of a request may have this many bytes; a longer one is answered with 431.
const HEAD_LIMIT: usize = 32 * 1024;
/// Connections at once that only get a refusal. More are closed without one.
const REFUSALS: usize = 32;
/// How long such a connection may take to send a request and to read the refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the log says that connections are refused.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// After an error of the listener, for example for lack of files, until one may be free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection holds. A request that asks to become a socket has it too, and then holds it for as
/// long as the socket lives.
#[derive(Clone)]
pub(super) struct ConnectionGuard {
    // Dropped first: with the permit the next connection of this address is admitted.
    _share: Arc<Option<Share<IpAddr>>>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
    stopping: watch::Receiver<()>,
}

impl ConnectionGuard {
    /// Waits until the server stops.
    pub(super) async fn stopping(&mut self) {
        // An error would say that the server is gone altogether.
        let _ = self.stopping.changed().await;
    }
}

/// Serves `app` on `listener` until `shutdown` ends, and then lets what is under way end.
pub(crate) async fn serve<E: Endpoint + 'static>(
    app: E,
    listener: TcpListener,
    config: &HttpConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let app = Arc::new(app);
    let local = listener.local_addr()?;
    let permits = Arc::new(Semaphore::new(most_connections(config)));
    let mut shares = AddressShares::new(config);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let patience = Duration::from_secs(config.read_timeout);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_LIMIT)
        // Head and body of an answer are small enough to be put together.
        .writev(false)
        // A client that has sent all it will is still answered, and what it sent is done.
        .half_close(true);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let (socket, permit) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let remote = socket.peer_addr().unwrap_or(local);
        let Ok(share) = shares.admit(remote.ip()) else {
            if let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned() {
                connections.spawn(refuse_connection(socket, http.clone(), refusal));
            }
            continue;
        };
        let app = Arc::clone(&app);
        let mut guard = ConnectionGuard {
            _share: Arc::new(share),
            _permit: permit.map(Arc::new),
            stopping: stopping.clone(),
        };
        let of_requests = guard.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let app = Arc::clone(&app);
            let addresses = (LocalAddr(local.into()), RemoteAddr(remote.into()));
            let is_to_upgrade = request.headers().contains_key(header::UPGRADE);
            let mut request = Request::from((request, addresses.0, addresses.1, Scheme::HTTP));
            if is_to_upgrade {
                request.extensions_mut().insert(of_requests.clone());
            }
            async move {
                // The Arc is an endpoint, too, but keeps the request twice.
                let response: Response = match E::call(&app, request).await {
                    Ok(response) => response.into_response(),
                    Err(error) => error.into_response(),
                };
                Ok::<_, Infallible>(hyper::Response::from(response))
            }
        });
        // Whoever stops reading would keep the connection, and what was to be sent, for ever.
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(patience));
        let connection = http
            .serve_connection(TokioIo::new(Box::pin(socket)), service)
            .with_upgrades();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            // How a client ends its connection is its own affair.
            tokio::select! {
                biased;
                _ = connection.as_mut() => {}
                () = guard.stopping() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
    drop(listener);
    drop(stopping);
    stop.send_replace(());
    let ended = async {
        while connections.join_next().await.is_some() {}
        // What became a socket is no connection any more, but still holds its guard.
        stop.closed().await;
    };
    if timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
        tracing::warn!("requests under way were cut off");
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, once there may be one more.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Answers are written at once; waiting for more to send would only delay them.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is refused");
                }
                return (socket, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connections of each address.
struct AddressShares<'a> {
    config: &'a HttpConfig,
    shares: Arc<Shares<IpAddr>>,
    warned: Option<Instant>,
}

impl<'a> AddressShares<'a> {
    fn new(config: &'a HttpConfig) -> Self {
        Self {
            config,
            shares: connections_of_address(config),
            warned: None,
        }
    }

    /// The share of one more connection, unless it is to be refused. A trusted proxy may have any number.
    fn admit(&mut self, address: IpAddr) -> Result<Option<Share<IpAddr>>, Error> {
        let address = address.to_canonical();
        if is_trusted(&self.config.trusted_proxies, address) {
            return Ok(None);
        }
        let share = self.shares.take(network(address));
        if share.is_none()
            && self
                .warned
                .is_none_or(|warned| warned.elapsed() >= WARN_EVERY)
        {
            self.warned = Some(Instant::now());
            tracing::warn!(
                %address,
                "connections are refused: the address has as many as one address may have; if it is a \
                 proxy, name it in SYMBOLON_TRUSTED_PROXIES"
            );
        }
        share.map(Some).ok_or(Error::TooManyConnections)
    }
}

/// Refuses the request of a connection that its address may not have.
async fn refuse_connection(
    socket: TcpStream,
    mut http: http1::Builder,
    _refusal: OwnedSemaphorePermit,
) {
    let service = service_fn(|_: hyper::Request<Incoming>| {
        let response = refuse(&Error::TooManyConnections, Challenge::Bearer, "none");
        ready(Ok::<_, Infallible>(hyper::Response::from(response)))
    });
    let connection = http.keep_alive(false);
    let connection = connection.serve_connection(TokioIo::new(socket), service);
    let _ = timeout(REFUSAL_TIMEOUT, connection).await;
}

//! Accepts connections and serves HTTP/1.1 on them.

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
use crate::http::client_address::is_trusted;
use crate::http::connection_limits::{
    KeyedPermit, KeyedSemaphore, connections_per_address, max_connections,
};
use crate::http::connection_metrics::{ConnectionMetrics, GaugeGuard};
use crate::http::error_responses::{Challenge, error_response};
use crate::model::client::network;

/// The maximum time for pending requests to finish after the shutdown has begun.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a request head, in bytes. A request with a larger head is refused with 431.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The maximum number of concurrent connections that are refused with a response. Further connections
/// are closed without a response.
const MAX_REFUSED_CONNECTIONS: usize = 32;
/// The maximum time for a refused connection to send a request and to read the response.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The minimum time between two warnings that connections are refused.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// The pause after a failed `accept`, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The permits of a connection, and the receiver of the shutdown notification. A WebSocket keeps a
/// clone of the guard of its connection until the WebSocket is closed.
#[derive(Clone)]
pub(super) struct ConnectionGuard {
    // The permit for the address is dropped first, so that this permit is free when the next connection is
    // accepted.
    _permits: Arc<(
        Option<KeyedPermit<IpAddr>>,
        Option<OwnedSemaphorePermit>,
        GaugeGuard,
    )>,
    shutdown: watch::Receiver<()>,
}

impl ConnectionGuard {
    /// Waits until the server begins to shut down.
    pub(super) async fn shutdown(&mut self) {
        // An error means that the server has been dropped, which also counts as a shutdown.
        let _ = self.shutdown.changed().await;
    }
}

/// Serves `app` on `listener` until `shutdown` completes, and counts the connections in `metrics`. After that, pending requests have 10 seconds
/// to finish.
pub(crate) async fn serve<E: Endpoint + 'static>(
    app: E,
    listener: TcpListener,
    config: &HttpConfig,
    metrics: &ConnectionMetrics,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let app = Arc::new(app);
    let local = listener.local_addr()?;
    let connection_permits = Arc::new(Semaphore::new(max_connections(config)));
    let mut address_limit = AddressLimit::new(config);
    let refusal_permits = Arc::new(Semaphore::new(MAX_REFUSED_CONNECTIONS));
    let io_timeout = Duration::from_secs(config.read_timeout);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(io_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        // Copying a small body to the buffer of the head is cheaper than a vectored write.
        .writev(false)
        // A client that closes its sending side of the connection still receives the responses to its
        // requests.
        .half_close(true);
    let (shutdown_sender, shutdown_receiver) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, connection_permit) = tokio::select! {
            // `shutdown` is polled first, so that it can install a signal handler before a connection is
            // accepted.
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &connection_permits) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let remote = stream.peer_addr().unwrap_or(local);
        let address_permit = match address_limit.try_acquire(remote.ip()) {
            Ok(permit) => permit,
            Err(error) => {
                metrics.refused.inc();
                if let Ok(permit) = Arc::clone(&refusal_permits).try_acquire_owned() {
                    connections.spawn(refuse_connection(stream, http.clone(), error, permit));
                }
                continue;
            }
        };
        let open = GaugeGuard::new(&metrics.open);
        let mut guard = ConnectionGuard {
            _permits: Arc::new((address_permit, connection_permit, open)),
            shutdown: shutdown_receiver.clone(),
        };
        let (app, request_guard) = (Arc::clone(&app), guard.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let app = Arc::clone(&app);
            let addresses = (LocalAddr(local.into()), RemoteAddr(remote.into()));
            let mut request = Request::from((request, addresses.0, addresses.1, Scheme::HTTP));
            if request.headers().contains_key(header::UPGRADE) {
                request.extensions_mut().insert(request_guard.clone());
            }
            async move {
                let response: Response = match app.as_ref().call(request).await {
                    Ok(response) => response.into_response(),
                    Err(error) => error.into_response(),
                };
                Ok::<_, Infallible>(hyper::Response::from(response))
            }
        });
        // Without a timeout, a client that stops reading would keep the connection open forever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(io_timeout));
        let connection = http
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            // Errors of a connection are not logged, because they are caused by the client.
            tokio::select! {
                biased;
                _ = connection.as_mut() => {}
                () = guard.shutdown() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
    drop(listener);
    drop(shutdown_receiver);
    shutdown_sender.send_replace(());
    let finished = async {
        while connections.join_next().await.is_some() {}
        // The tasks of WebSockets are not in `connections`. The channel is closed after these tasks have
        // dropped their guards, which contain receivers.
        shutdown_sender.closed().await;
    };
    if timeout(SHUTDOWN_TIMEOUT, finished).await.is_err() {
        tracing::warn!("pending requests were aborted, because they did not finish in time");
        connections.shutdown().await;
    }
    Ok(())
}

/// Waits until the number of open connections is below the maximum, and accepts the next connection.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so this does not return an error.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Nagle's algorithm would delay responses. The algorithm has no benefit, because each
                // response is sent with one write.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY cannot be set");
                }
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The limit on the number of connections from each address.
struct AddressLimit<'a> {
    config: &'a HttpConfig,
    connections: Arc<KeyedSemaphore<IpAddr>>,
    warned_at: Option<Instant>,
}

impl<'a> AddressLimit<'a> {
    fn new(config: &'a HttpConfig) -> Self {
        Self {
            config,
            connections: connections_per_address(config),
            warned_at: None,
        }
    }

    /// Returns a permit for a new connection from `address`. Returns `None` if the address is a trusted
    /// proxy, which has no limit. Returns an error if the address has too many connections.
    fn try_acquire(&mut self, address: IpAddr) -> Result<Option<KeyedPermit<IpAddr>>, Error> {
        let address = address.to_canonical();
        if is_trusted(&self.config.trusted_proxies, address) {
            return Ok(None);
        }
        let permit = self.connections.try_acquire(network(address));
        if permit.is_some() {
            return Ok(permit);
        }
        let warned_at = self.warned_at;
        if warned_at.is_none_or(|warned_at| warned_at.elapsed() >= WARNING_INTERVAL) {
            self.warned_at = Some(Instant::now());
            tracing::warn!(
                %address,
                "connections are refused, because this address has too many. If the address belongs \
                 to a proxy, add it to SYMBOLON_TRUSTED_PROXIES"
            );
        }
        Err(Error::TooManyConnections)
    }
}

/// Responds with an error to the request on a connection that exceeds the limit of its address.
async fn refuse_connection(
    stream: TcpStream,
    mut http: http1::Builder,
    error: Error,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(|_: hyper::Request<Incoming>| {
        let response = error_response(&error, Challenge::Bearer, "none");
        ready(Ok::<_, Infallible>(hyper::Response::from(response)))
    });
    let connection = http.keep_alive(false);
    let connection = connection.serve_connection(TokioIo::new(stream), service);
    let _ = timeout(REFUSAL_TIMEOUT, connection).await;
}

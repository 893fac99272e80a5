//! A TCP proxy that can drop traffic without closing connections, as network devices do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A proxy between a client and a PostgreSQL server on loopback.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    began: Instant,
    /// The port of the server.
    target: AtomicU16,
    /// Connections that were last used before this time are dropped, in microseconds since `began`.
    forgotten: AtomicU64,
    /// The number of silences. A connection from before a silence stays silent forever.
    silences: AtomicU32,
    is_silent: AtomicBool,
    loses_notifications: AtomicBool,
}

impl Proxy {
    pub async fn in_front_of(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            began: Instant::now(),
            target: AtomicU16::new(port),
            forgotten: AtomicU64::new(0),
            silences: AtomicU32::new(0),
            is_silent: AtomicBool::new(false),
            loses_notifications: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let port = shared.target.load(Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                if let Ok(server) = server {
                    forward(client, server, &shared);
                }
            }
        });
        Self { port: own, state }
    }

    /// Leads new connections to another server. Existing connections stay.
    pub fn lead_to(&self, port: u16) {
        self.state.target.store(port, Ordering::SeqCst);
    }

    /// Drops all traffic from now on without closing connections.
    pub fn silence(&self) {
        self.state.silences.fetch_add(1, Ordering::SeqCst);
        self.state.is_silent.store(true, Ordering::SeqCst);
    }

    /// Forwards the traffic of new connections again. Existing connections stay silent.
    pub fn resume(&self) {
        self.state.is_silent.store(false, Ordering::SeqCst);
    }

    /// Drops the connections that have been idle for this long.
    pub fn forget_idle(&self, idle: Duration) {
        let before = self.state.began.elapsed().saturating_sub(idle);
        (self.state.forgotten).store(micros(before), Ordering::SeqCst);
    }

    /// Sets whether notifications are lost, as behind a pooler.
    pub fn set_loses_notifications(&self, lose: bool) {
        self.state.loses_notifications.store(lose, Ordering::SeqCst);
    }
}

fn forward(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let began = state.silences.load(Ordering::SeqCst);
    let used = Arc::new(AtomicU64::new(micros(state.began.elapsed())));
    for (from, to) in [(from_client, to_server), (from_server, to_client)] {
        tokio::spawn(copy(from, to, Arc::clone(state), began, Arc::clone(&used)));
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap()
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<State>,
    began: u32,
    used: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let is_silent = state.is_silent.load(Ordering::SeqCst);
        let is_forgotten = used.load(Ordering::SeqCst) < state.forgotten.load(Ordering::SeqCst);
        if is_forgotten || is_silent || state.silences.load(Ordering::SeqCst) != began {
            // Keeps the sockets open.
            std::future::pending::<()>().await;
        }
        used.store(micros(state.began.elapsed()), Ordering::SeqCst);
        // PostgreSQL sends a notification by itself: a message of type `A`.
        let is_lost = state.loses_notifications.load(Ordering::SeqCst) && buffer[0] == b'A';
        if read == 0 || (!is_lost && to.write_all(&buffer[..read]).await.is_err()) {
            return;
        }
    }
}

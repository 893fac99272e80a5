//! What all tests stand on.

mod app;
mod node;
mod process;
mod shell;
mod socket;

pub use app::{Answer, Operation, TestApp, start_of_time};
pub use node::{node_in, succeed};
pub use process::{Process, Server, finish, finish_with, symbolon, unthrottled};
pub use shell::Shell;
pub use socket::Socket;

/// The password of every account that a test does not give another one.
pub const PASSWORD: &str = "correct horse battery staple";

/// Repeats `attempt` until it succeeds; fails the test after 30 s.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

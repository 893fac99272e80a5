//! Helpers of the tests: servers, clients, databases and faults.

mod cli;
mod client;
mod database;
mod nodejs;
mod postgres_server;
pub mod raw_http;
pub mod reverse_proxy;
mod server_on_postgres;
pub mod server_on_sqlite;
mod server_process;
mod sqlite_faults;
mod stored_rows;
mod tcp_proxy;
mod test_app;
mod websocket;

pub use cli::{Cli, without_database_line};
pub use client::{Answer, Client, GraphqlRequest};
pub use database::{common_key, database_in, database_url, on_postgres, shared_postgres};
pub use nodejs::{node_in, succeed};
pub use postgres_server::{DATABASE_PASSWORD, Postgres, end_at_commit, end_connections};
pub use server_on_postgres::Instance;
pub use server_process::{
    Process, Server, finish, finish_with, server_with, symbolon, unconfigured_symbolon, unthrottled,
};
pub use sqlite_faults::{Injection, SmallDisk, is_exhaustive};
pub use stored_rows::{StoredUser, database_files, empty_the_journal};
pub use tcp_proxy::Proxy;
pub use test_app::{DATABASE_FILE, TestApp, start_of_time};
pub use websocket::Socket;

/// The longest time until an instance applies a change of another instance.
pub const PROPAGATION_BOUND: std::time::Duration = std::time::Duration::from_millis(1250);

/// The password of every user, unless a test sets another one.
pub const PASSWORD: &str = "correct horse battery staple";

/// Repeats `attempt` until it returns a value. Fails the test after 30 s.
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

/// Repeats a request to a process after a change by another process, until the answer is as expected:
/// immediately on SQLite, within [`PROPAGATION_BOUND`] on PostgreSQL.
pub async fn poll_until_propagated(
    mut fetch: impl AsyncFnMut() -> Answer,
    is_expected: impl Fn(&Answer) -> bool,
) -> Answer {
    let started = std::time::Instant::now();
    loop {
        let answer = fetch().await;
        if is_expected(&answer) || !on_postgres() || started.elapsed() > PROPAGATION_BOUND {
            return answer;
        }
    }
}

/// The first 12 hexadecimal digits of the digest of a token.
pub fn digest_prefix(token: &str) -> String {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(token);
    let digits = digest[..6].iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

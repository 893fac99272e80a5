//! HTTP: connections, requests and responses, GraphQL over HTTP and WebSockets, and the other endpoints.

mod authorization_header;
mod client_address;
mod connection_limits;
mod cors;
mod error_responses;
#[cfg(feature = "explorer")]
mod explorer;
mod forward_auth;
mod graphql;
mod health;
mod identity_extractor;
mod memory_budget;
mod metrics;
mod request_body;
mod request_context;
mod request_log;
mod routes;
mod server;
mod state;
mod tokens;
mod websocket;

pub use self::request_context::Middleware;
pub(crate) use self::routes::{graphql, metrics, routes};
pub(crate) use self::server::serve;
pub(crate) use self::state::AppState;

//! HTTP: connections, requests and responses, GraphQL over HTTP and WebSockets, and the other endpoints.

mod authorization_header;
mod client_address;
mod connection_limits;
pub(crate) mod connection_metrics;
mod cross_origin;
mod error_responses;
#[cfg(feature = "explorer")]
mod explorer;
mod extractors;
mod forward_auth;
mod forwarded_header;
mod graphql;
mod health;
mod host_header;
mod memory_budget;
mod metrics;
mod middleware;
mod pages;
mod request_body;
mod request_log;
mod routes;
mod server;
mod state;
mod tokens;
mod websocket;

pub(crate) use self::authorization_header::parse as parse_authorization;
pub use self::middleware::Middleware;
pub(crate) use self::routes::{executor, graphql, metrics, routes};
pub(crate) use self::server::serve;
pub(crate) use self::state::AppState;

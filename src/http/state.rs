//! The state that all endpoints of one application share.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{HttpConfig, Limits};
use crate::http::client_address::IgnoredHeaderWarning;
use crate::http::connection_limits::{SocketLimits, max_connections};
use crate::http::cross_origin::RefusedOrigins;
use crate::http::memory_budget::MemoryBudget;
use crate::http::metrics::Metrics;
use crate::service::Services;

/// The services, settings, limits and metrics of one application.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) services: Arc<Services>,
    pub(crate) http: HttpConfig,
    pub(crate) limits: Limits,
    /// The size of the document cache of each schema, in bytes.
    pub(super) document_cache: u64,
    pub(crate) metrics: Metrics,
    pub(super) ignored_header_warning: IgnoredHeaderWarning,
    pub(super) refused_origins: RefusedOrigins,
    pub(super) socket_limits: SocketLimits,
    pub(super) memory_budget: MemoryBudget,
}

impl AppState {
    /// Creates the state. Each schema gets a document cache of `document_cache` bytes.
    pub(crate) fn new(
        services: Arc<Services>,
        http: HttpConfig,
        limits: Limits,
        document_cache: u64,
    ) -> Self {
        let metrics = Metrics::new(&services, max_connections(&http));
        Self {
            services,
            socket_limits: SocketLimits::new(&http),
            memory_budget: MemoryBudget::new(http.body_limit),
            http,
            limits,
            document_cache,
            metrics,
            ignored_header_warning: IgnoredHeaderWarning::default(),
            refused_origins: RefusedOrigins::default(),
        }
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.http.request_timeout)
    }

    /// Returns the maximum time for a client to send a request body or `connection_init`.
    pub(super) fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.http.read_timeout)
    }
}

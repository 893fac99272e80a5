//! Metrics for Prometheus. The number of label values is bounded, because the values come from the schema and
//! from fixed sets, never from a client.
//!
//! Each layer counts its own metrics, and this module collects them. docs/monitoring.md describes all metrics.

mod current_values;
#[cfg(target_os = "linux")]
mod process;
mod text_format;

use std::sync::Arc;
use std::time::Duration;

use poem::http::{HeaderMap, StatusCode};
use poem::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use self::current_values::CurrentValues;
use self::text_format::TextFormat;
use crate::error::Error;
use crate::graphql::document::Document;
use crate::graphql::document_cache::DocumentCache;
use crate::graphql::token_mutation;
use crate::http::connection_metrics::{ConnectionMetrics, SocketMetrics};
use crate::service::Services;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FieldLabels {
    operation: &'static str,
    field: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

/// The label value of `POST /tokens` in the metrics of sign-ins.
pub(super) const TOKENS_ENDPOINT: &str = "tokens";

/// The metrics of one application.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    fields: Family<FieldLabels, Counter>,
    responses: Family<StatusLabels, Counter>,
    /// The counter in `responses` for the status 200.
    ok: Counter,
    seconds: Histogram,
    current_values: Arc<CurrentValues>,
    pub(crate) connections: ConnectionMetrics,
    pub(super) sockets: SocketMetrics,
}

impl Metrics {
    /// Collects the metrics of an application that accepts at most `max_connections` connections.
    pub(crate) fn new(services: &Arc<Services>, max_connections: usize) -> Self {
        let mut root = Registry::default();
        #[cfg(target_os = "linux")]
        root.register_collector(Box::new(process::ProcessMetrics));
        let registry = root.sub_registry_with_prefix("symbolon");
        let fields = Family::<FieldLabels, Counter>::default();
        let help = "Number of root fields in executed operations";
        registry.register("root_fields", help, fields.clone());
        let responses = Family::<StatusLabels, Counter>::default();
        let help = "Number of HTTP responses, by status";
        registry.register("responses", help, responses.clone());
        // The increase from a missing counter to 1 is not visible to Prometheus.
        for status in [500, 503] {
            drop(responses.get_or_create(&StatusLabels { status }));
        }
        let status = StatusCode::OK.as_u16();
        let ok = responses.get_or_create_owned(&StatusLabels { status });
        let seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let help = "Time from the head of a request to its response, in seconds";
        registry.register("request_duration_seconds", help, seconds.clone());
        let connections = ConnectionMetrics::default();
        connections.register(registry, max_connections);
        let sockets = SocketMetrics::default();
        sockets.register(registry);
        for endpoint in [token_mutation::ENDPOINT, TOKENS_ENDPOINT] {
            services.authenticator.add_sign_in_endpoint(endpoint);
        }
        services.register_metrics(registry);
        let current_values = Arc::new(CurrentValues::new(Arc::clone(services)));
        registry.register_collector(Box::new(Arc::clone(&current_values)));
        Self {
            registry: root,
            fields,
            responses,
            ok,
            seconds,
            current_values,
            connections,
            sockets,
        }
    }

    /// Adds the document cache of a schema to the metric `cache_bytes`.
    pub(super) fn add_document_cache(&self, cache: &Arc<DocumentCache>) {
        self.current_values.add_document_cache(cache);
    }

    /// Counts a response and records its duration.
    pub(super) fn count_response(&self, status: StatusCode, duration: Duration) {
        // Most responses have the status 200. The separate counter saves the look-up in the family.
        if status == StatusCode::OK {
            self.ok.inc();
        } else {
            let status = status.as_u16();
            self.responses.get_or_create(&StatusLabels { status }).inc();
        }
        self.seconds.observe(duration.as_secs_f64());
    }

    /// Counts the root fields of an executed document.
    pub(super) fn count_root_fields(&self, document: &Document, ok: bool) {
        for field in &document.root_fields {
            let labels = FieldLabels {
                operation: document.operation_keyword(),
                field: Arc::clone(field),
                outcome: if ok { "ok" } else { "error" },
            };
            self.fields.get_or_create(&labels).inc();
        }
    }

    /// Returns all metrics in the text format that the headers of the request ask for.
    pub(super) fn response(&self, headers: &HeaderMap) -> Result<Response, Error> {
        let format = TextFormat::negotiate(headers);
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Error::internal)?;
        // `with_content_type` replaces the `Content-Type` header. `with_header` would add a second
        // header.
        let text = format.convert(text).with_content_type(format.media_type());
        Ok(text.into_response())
    }
}

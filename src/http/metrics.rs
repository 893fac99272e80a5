//! What Prometheus reads. Labels are names of the schema and of the contract, never a client's.

use std::time::Duration;

use poem::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::error::Error;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FieldLabels {
    operation: String,
    field: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

/// The counters of one app.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    fields: Family<FieldLabels, Counter>,
    responses: Family<StatusLabels, Counter>,
    seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("symbolon");
        let fields = Family::<FieldLabels, Counter>::default();
        let help = "Root fields of executed operations";
        registry.register("root_fields", help, fields.clone());
        let responses = Family::<StatusLabels, Counter>::default();
        let help = "HTTP responses by status";
        registry.register("responses", help, responses.clone());
        let seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let help = "Seconds from the head of a request to its response";
        registry.register("request_duration_seconds", help, seconds.clone());
        Self {
            registry,
            fields,
            responses,
            seconds,
        }
    }

    /// Counts a response.
    pub(super) fn responded(&self, status: u16, after: Duration) {
        self.responses.get_or_create(&StatusLabels { status }).inc();
        self.seconds.observe(after.as_secs_f64());
    }

    /// Counts a root field that was executed.
    pub(super) fn executed(&self, operation: &str, field: &str, ok: bool) {
        let labels = FieldLabels {
            operation: operation.to_owned(),
            field: field.to_owned(),
            outcome: if ok { "ok" } else { "error" },
        };
        self.fields.get_or_create(&labels).inc();
    }

    /// The text that Prometheus reads.
    pub(super) fn response(&self) -> Result<Response, Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Error::internal)?;
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        // A header of this name would come second, after the one that a text has.
        Ok(text.with_content_type(media_type).into_response())
    }
}

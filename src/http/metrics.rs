//! Metrics for Prometheus. The number of label values is bounded, because the values come from the schema and
//! from fixed sets, never from a client.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::error::Error;
use crate::graphql::document::Document;
use crate::graphql::document_cache::DocumentCache;

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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
}

/// The metrics of one application.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    fields: Family<FieldLabels, Counter>,
    responses: Family<StatusLabels, Counter>,
    /// The counter in `responses` for the status 200.
    ok: Counter,
    seconds: Histogram,
    caches: Family<CacheLabels, Gauge>,
    stale: Counter,
    documents: Mutex<Vec<Weak<DocumentCache>>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("symbolon");
        let fields = Family::<FieldLabels, Counter>::default();
        let help = "Number of root fields in executed operations";
        registry.register("root_fields", help, fields.clone());
        let responses = Family::<StatusLabels, Counter>::default();
        let help = "Number of HTTP responses, by status";
        registry.register("responses", help, responses.clone());
        let status = StatusCode::OK.as_u16();
        let ok = responses.get_or_create_owned(&StatusLabels { status });
        let seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let help = "Time from the head of a request to its response, in seconds";
        registry.register("request_duration_seconds", help, seconds.clone());
        let caches = Family::<CacheLabels, Gauge>::default();
        let help = "Estimated memory of each cache, in bytes";
        registry.register("cache_bytes", help, caches.clone());
        let stale = Counter::default();
        let help = "Number of cached identities that differed from the database. A value above 0 indicates an error in Symbolon";
        registry.register("stale_identities", help, stale.clone());
        Self {
            registry,
            fields,
            responses,
            ok,
            seconds,
            caches,
            stale,
            documents: Mutex::default(),
        }
    }

    /// Adds the document cache of a schema to the metric `cache_bytes`.
    pub(super) fn add_document_cache(&self, cache: &Arc<DocumentCache>) {
        let mut caches = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        caches.push(Arc::downgrade(cache));
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

    /// Returns all metrics in the OpenMetrics text format. `identities` is the size of the identity cache
    /// in bytes. `stale` is the total number of cached identities that differed from the database.
    pub(super) fn response(&self, identities: u64, stale: u64) -> Result<Response, Error> {
        self.stale.inc_by(stale.saturating_sub(self.stale.get()));
        let documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let documents = documents.iter().filter_map(Weak::upgrade);
        let documents = documents.map(|documents| documents.bytes()).sum();
        for (cache, bytes) in [("identities", identities), ("documents", documents)] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.caches.get_or_create(&CacheLabels { cache }).set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Error::internal)?;
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        // `with_content_type` replaces the `Content-Type` header. `with_header` would add a second
        // header.
        Ok(text.with_content_type(media_type).into_response())
    }
}

//! Metrics that other structures already hold, such as the length of the hash queue. They are read when they are encoded, and
//! without a query to the database.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::graphql::document_cache::DocumentCache;
use crate::service::Services;

/// The sources of the values.
#[derive(Debug)]
pub(super) struct CurrentValues {
    services: Arc<Services>,
    documents: Mutex<Vec<Weak<DocumentCache>>>,
}

impl CurrentValues {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
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

    fn document_bytes(&self) -> u64 {
        let caches = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let caches = caches.iter().filter_map(Weak::upgrade);
        caches.map(|cache| cache.bytes()).sum()
    }
}

/// Adds the full stop that the registry adds to the help of other metrics.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

/// Encodes a metric without labels.
pub(super) fn encode_metric(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let metric_type = metric.metric_type();
    metric.encode(encoder.encode_descriptor(name, &sentence(help), None, metric_type)?)
}

/// Encodes a gauge that has one value for each set of labels.
fn encode_gauges<const N: usize>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'static str, &'static str); N], u64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: usize,
) -> Result<(), fmt::Error> {
    encode_metric(encoder, name, help, &ConstGauge::new(value as u64))
}

impl Collector for CurrentValues {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        let Services {
            authenticator,
            throttle,
            ..
        } = &*self.services;
        let help = "1. The labels are the version of Symbolon and the kind of the database";
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("database", self.services.database_kind()),
        ];
        encode_gauges(encoder, "build_info", help, [(build, 1)])?;
        let help = "Estimated memory of each cache, in bytes";
        let caches = [
            ("identities", authenticator.cache_bytes()),
            ("documents", self.document_bytes()),
        ];
        let caches = caches.map(|(cache, bytes)| ([("cache", cache)], bytes));
        encode_gauges(encoder, "cache_bytes", help, caches)?;
        let help = "Number of cached identities that differed from the database. A value above 0 indicates an error in Symbolon";
        let stale = ConstCounter::new(authenticator.stale_identities());
        encode_metric(encoder, "stale_identities", help, &stale)?;
        let help = "Whether cached identities can be used: 1, or 0 while notifications from PostgreSQL may be lost";
        let is_usable = self.services.permits_cache();
        encode_gauge(encoder, "identity_cache_usable", help, is_usable.into())?;
        if let Some(age) = self.services.heartbeat_age() {
            let help = "Time since the last received heartbeat was sent to PostgreSQL, in seconds";
            let age = ConstGauge::new(age.as_secs_f64());
            encode_metric(encoder, "heartbeat_age_seconds", help, &age)?;
        }
        let help = "Whether the database answers and accepts writes, as far as is known: 1, or 0";
        let is_available = self.services.is_database_available();
        encode_gauge(encoder, "database_available", help, is_available.into())?;
        let pools = self.services.pools();
        let help = "Number of open database connections, by pool and state";
        let connections = pools.iter().flat_map(|pool| {
            let states = [("idle", pool.idle), ("in_use", pool.in_use)];
            states.map(|(state, count)| ([("pool", pool.pool), ("state", state)], count as u64))
        });
        encode_gauges(encoder, "database_connections", help, connections)?;
        let help = "Maximum number of open database connections, by pool";
        let most = pools
            .iter()
            .map(|pool| ([("pool", pool.pool)], pool.max.into()));
        encode_gauges(encoder, "database_connections_max", help, most)?;
        let queue = throttle.passwords.queue_state();
        let help = "Number of requests that hold a place in the hash queue: those whose hash is computed, and those that wait";
        encode_gauge(encoder, "hash_queue_requests", help, queue.used)?;
        let help = "Number of requests that can hold a place in the hash queue";
        encode_gauge(encoder, "hash_queue_requests_max", help, queue.places)?;
        let help = "Number of threads that compute password hashes";
        encode_gauge(encoder, "hash_threads", help, queue.threads)
    }
}

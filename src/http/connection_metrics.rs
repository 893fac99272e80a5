//! Metrics of connections and WebSockets.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The close codes whose counters begin at 0. The increase from a missing counter to 1 is not visible to Prometheus.
const CLOSE_CODES: [u16; 13] = [
    1000, 1001, 1002, 1007, 1009, 1011, 1013, 4400, 4401, 4403, 4408, 4409, 4429,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabels {
    code: u16,
}

/// The metrics of the connections of one listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) refused: Counter,
}

/// The metrics of all WebSockets.
#[derive(Debug, Default)]
pub(super) struct SocketMetrics {
    pub(super) open: Gauge,
    pub(super) subscriptions: Gauge,
    closed: Family<CodeLabels, Counter>,
    /// The WebSockets that the client closed, or whose connection failed.
    left: Counter,
}

/// Counts in a gauge until it is dropped.
#[derive(Debug)]
pub(super) struct GaugeGuard(Gauge);

impl GaugeGuard {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ConnectionMetrics {
    /// Adds the metrics to a registry.
    pub(super) fn register(&self, registry: &mut Registry, max: usize) {
        let help = "Number of open HTTP connections, including WebSockets";
        registry.register("http_connections", help, self.open.clone());
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(max).unwrap_or(i64::MAX));
        let help = "Maximum number of open HTTP connections";
        registry.register("http_connections_max", help, gauge);
        let help = "Number of connections that were refused, because their address has too many";
        registry.register("http_connections_refused", help, self.refused.clone());
    }
}

impl SocketMetrics {
    /// Adds the metrics to a registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        for code in CLOSE_CODES {
            drop(self.closed.get_or_create(&CodeLabels { code }));
        }
        let help = "Number of open WebSockets";
        registry.register("websockets", help, self.open.clone());
        let help = "Number of running subscriptions";
        registry.register("subscriptions", help, self.subscriptions.clone());
        let help = "Number of WebSockets that the server closed, by close code";
        registry.register("websockets_closed", help, self.closed.clone());
        let help = "Number of WebSockets that the client closed, or whose connection failed";
        registry.register("websockets_left", help, self.left.clone());
    }

    /// Counts a closed WebSocket. `code` is the close code that the server sent, if it closed the WebSocket.
    pub(super) fn count_close(&self, code: Option<u16>) {
        match code {
            Some(code) => self.closed.get_or_create(&CodeLabels { code }).inc(),
            None => self.left.inc(),
        };
    }
}

//! The two text formats of metrics: OpenMetrics, and the older text format of Prometheus.

use std::fmt::Write;

use poem::http::{HeaderMap, header};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFormat {
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    OpenMetrics,
    /// The [text format](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format), which every
    /// scraper reads.
    Prometheus,
}

impl TextFormat {
    /// Returns the format for a request. Prometheus names OpenMetrics in the header `Accept`. Other scrapers, and browsers, get
    /// the older format.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).into_iter();
        let mut ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        if ranges.any(accepts_openmetrics) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts metrics from OpenMetrics to this format.
    pub(super) fn convert(self, openmetrics: String) -> String {
        match self {
            Self::OpenMetrics => openmetrics,
            Self::Prometheus => to_prometheus(&openmetrics),
        }
    }
}

/// Returns whether a media range of the header `Accept` (RFC 9110, section 12.5.1) accepts OpenMetrics by name.
fn accepts_openmetrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
    name.eq_ignore_ascii_case("application/openmetrics-text") && quality > 0.0
}

/// Appends `_total` to the names of counters in their descriptions, and removes `# EOF`. In OpenMetrics, only the samples of a
/// counter have the suffix.
fn to_prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics
        .lines()
        .filter(|line| *line != "# EOF")
        .peekable();
    // Each help is followed by the type.
    while let Some(line) = lines.next() {
        let following = lines.peek().copied().unwrap_or_default();
        let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        let mut parts = line.splitn(4, ' ');
        let described = (parts.next(), parts.next(), parts.next(), parts.next());
        let _ = match described {
            (Some("#"), Some(keyword @ ("HELP" | "TYPE")), Some(name), Some(rest))
                if is_counter(line) || is_counter(following) && keyword == "HELP" =>
            {
                writeln!(text, "# {keyword} {name}_total {rest}")
            }
            _ => writeln!(text, "{line}"),
        };
    }
    text
}

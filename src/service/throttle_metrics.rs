//! The number of throttled attempts, by limit.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    limit: &'static str,
}

/// The label value of passwords tried for one username from unknown addresses.
pub(super) const USERNAME: &str = "username";
/// The label value of passwords tried for one user from one known address.
pub(super) const KNOWN_ADDRESS: &str = "known_address";
/// The label value of the current passwords that one signed-in user confirms.
pub(super) const CONFIRMATION: &str = "confirmation";
/// The label value of passwords tried from one address.
pub(super) const ADDRESS: &str = "address";
/// The label value of registrations, profile changes and uses of one-time tokens from one address.
pub(super) const REGISTRATION_ADDRESS: &str = "registration_address";
/// The label value of registrations and changes by one signed-in user.
pub(super) const REGISTRATION_USER: &str = "registration_user";

/// The number of attempts that a rate limit refused.
#[derive(Debug)]
pub(crate) struct ThrottleMetrics(Family<Labels, Counter>);

impl ThrottleMetrics {
    /// Creates the counters of all limits, so that the first refusal is an increase.
    pub(crate) fn new() -> Self {
        let metrics = Self(Family::default());
        for limit in [
            USERNAME,
            KNOWN_ADDRESS,
            CONFIRMATION,
            ADDRESS,
            REGISTRATION_ADDRESS,
            REGISTRATION_USER,
        ] {
            drop(metrics.0.get_or_create(&Labels { limit }));
        }
        metrics
    }

    /// Adds the metric to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Number of attempts that a rate limit refused, by limit";
        registry.register("throttled", help, self.0.clone());
    }

    pub(super) fn count(&self, limit: &'static str) {
        self.0.get_or_create(&Labels { limit }).inc();
    }
}

//! The number of verified passwords, by endpoint and result.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::error::Error;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    endpoint: &'static str,
    result: &'static str,
}

/// The label value of a request with a password for any operation that issues no token.
pub(super) const PASSWORD: &str = "password";

/// The label value of a signed-in user who confirms the current password.
pub(super) const CONFIRMATION: &str = "confirmation";

/// The label value of a sign-in through [`Requester`](crate::Requester) that issues a token.
pub(super) const APPLICATION: &str = "application";

const SUCCESS: &str = "success";
const WRONG_CREDENTIALS: &str = "wrong_credentials";
const THROTTLED: &str = "throttled";
const REFUSED_BY_HOOK: &str = "refused_by_hook";
const UNAVAILABLE: &str = "unavailable";
const ERROR: &str = "error";

/// The number of verified passwords. A wrong password, an unknown username and a disabled user have the same result.
#[derive(Debug)]
pub(crate) struct SignInMetrics(Family<Labels, Counter>);

impl SignInMetrics {
    pub(crate) fn new() -> Self {
        let metrics = Self(Family::default());
        for endpoint in [PASSWORD, CONFIRMATION, APPLICATION] {
            metrics.add_endpoint(endpoint);
        }
        metrics
    }

    /// Creates the counters of an endpoint that issues tokens, so that the first occurrence is an increase.
    pub(crate) fn add_endpoint(&self, endpoint: &'static str) {
        for result in [
            SUCCESS,
            WRONG_CREDENTIALS,
            THROTTLED,
            REFUSED_BY_HOOK,
            UNAVAILABLE,
            ERROR,
        ] {
            drop(self.0.get_or_create(&Labels { endpoint, result }));
        }
    }

    /// Adds the metric to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Number of requests to verify a password, by endpoint and result";
        registry.register("sign_ins", help, self.0.clone());
    }

    /// Counts a request with this error, or a success without an error.
    pub(super) fn count(&self, endpoint: &'static str, error: Option<&Error>) {
        let result = match error {
            None => SUCCESS,
            Some(Error::Unauthenticated(_)) => WRONG_CREDENTIALS,
            Some(Error::RateLimited { .. }) => THROTTLED,
            Some(Error::SignInRefused(_)) => REFUSED_BY_HOOK,
            Some(Error::ServiceUnavailable { .. } | Error::OutcomeUnknown) => UNAVAILABLE,
            Some(_) => ERROR,
        };
        self.0.get_or_create(&Labels { endpoint, result }).inc();
    }

    pub(super) fn count_wrong_confirmation(&self) {
        let (endpoint, result) = (CONFIRMATION, WRONG_CREDENTIALS);
        self.0.get_or_create(&Labels { endpoint, result }).inc();
    }
}

//! Metrics of the events that this instance publishes, and of the tokens that these events concern.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::model::audit_event_enums::AuditEventKind;
use crate::model::event::Event;
use crate::model::request_credentials::TokenType;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    token_type: &'static str,
}

type Tokens = Family<TokenLabels, Counter>;

/// The label value of a one-time token.
const ONE_TIME: &str = "one_time_token";

/// Counters of committed events.
#[derive(Debug)]
pub(crate) struct EventMetrics {
    events: Family<KindLabels, Counter>,
    issued: Tokens,
    renewed: Tokens,
    revoked: Tokens,
}

impl EventMetrics {
    /// Creates the counters with all their label values, so that the first occurrence is an increase.
    pub(super) fn new() -> Self {
        let metrics = Self {
            events: Family::default(),
            issued: Family::default(),
            renewed: Family::default(),
            revoked: Family::default(),
        };
        for kind in AuditEventKind::all() {
            let kind = kind.name();
            drop(metrics.events.get_or_create(&KindLabels { kind }));
        }
        let [shared, device, access] = [
            TokenType::SharedSession,
            TokenType::DeviceSession,
            TokenType::AccessToken,
        ]
        .map(label);
        let types: [(&Tokens, &[&str]); 3] = [
            (&metrics.issued, &[shared, device, access, ONE_TIME]),
            (&metrics.renewed, &[shared, device]),
            (&metrics.revoked, &[shared, device, access]),
        ];
        for (tokens, types) in types {
            for token_type in types {
                drop(tokens.get_or_create(&TokenLabels { token_type }));
            }
        }
        metrics
    }

    /// Adds the counters to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Number of events in the audit trail that this instance recorded, by kind";
        registry.register("events", help, self.events.clone());
        let help =
            "Number of tokens that this instance issued, by type. A reused token is not counted";
        registry.register("tokens_issued", help, self.issued.clone());
        let help = "Number of session tokens whose expiration this instance postponed, by type";
        registry.register("tokens_renewed", help, self.renewed.clone());
        let help = "Number of live tokens that this instance revoked, by type";
        registry.register("tokens_revoked", help, self.revoked.clone());
    }

    /// Counts an event.
    pub(super) fn count(&self, event: &Event) {
        let kind = event.kind.name();
        self.events.get_or_create(&KindLabels { kind }).inc();
        let tokens = match event.kind {
            AuditEventKind::TokenIssued
            | AuditEventKind::Invited
            | AuditEventKind::ResetLinkCreated => &self.issued,
            AuditEventKind::TokenRenewed => &self.renewed,
            AuditEventKind::TokenRevoked => &self.revoked,
            _ => return,
        };
        let token_type = event.token_type.map_or(ONE_TIME, label);
        tokens.get_or_create(&TokenLabels { token_type }).inc();
    }
}

fn label(token_type: TokenType) -> &'static str {
    match token_type {
        TokenType::SharedSession => "shared_session",
        TokenType::DeviceSession => "device_session",
        TokenType::AccessToken => "access_token",
    }
}

//! The text form of instants.

use chrono::{DateTime, SecondsFormat, Utc};

/// Formats an instant for clients (RFC 3339), with three fractional digits, because some parsers accept no other number
/// of digits.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, false)
}

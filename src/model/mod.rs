//! Value types and the rules that apply to them. This module performs no I/O and does not depend on protocols.

pub(crate) mod access_token;
pub(crate) mod audit_event;
mod common_passwords;
pub(crate) mod confusables;
pub(crate) mod credentials;
pub(crate) mod email;
pub(crate) mod identity;
#[cfg(feature = "server")]
pub(crate) mod imported_user;
pub(crate) mod live_token;
pub(crate) mod pagination;
pub(crate) mod password;
pub(crate) mod password_hash;
pub(crate) mod rate_limit;
pub(crate) mod requirement;
pub(crate) mod scopes;
pub(crate) mod session;
pub(crate) mod session_token;
pub(crate) mod text_limits;
pub(crate) mod token_digest;
pub(crate) mod user;
pub(crate) mod user_record;
pub(crate) mod username;
pub(crate) mod validation;

use chrono::TimeDelta;

/// The maximum tolerated error of a clock. Stored data remains valid if the clocks of two instances differ by at most
/// this time, or if a clock is set back by at most this time. A stored instant is considered wrong only if it exceeds
/// its latest possible value by more than this time.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// Parses an id that a client sent. Returns `None` if the text is not a number.
pub(crate) fn parse_id(text: &str) -> Option<i64> {
    if text.len() > text_limits::ID {
        return None;
    }
    text.parse().ok()
}

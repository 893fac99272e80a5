//! Values and their rules, without I/O and protocols.

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

/// The tolerated error of clocks. The clocks of two instances can differ by this time, and a clock can be set back by
/// this time, without an effect on stored data. A stored instant is in the future only if it exceeds its limit by more.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// Parses an id that a client sent. Returns `None` if it is not a number.
pub(crate) fn parse_id(text: &str) -> Option<i64> {
    if text.len() > text_limits::ID {
        return None;
    }
    text.parse().ok()
}

//! Nouns: what Symbolon talks about. Nothing here does I/O or knows a protocol.

pub(crate) mod access_token;
pub(crate) mod audit;
mod common_passwords;
pub(crate) mod confusable;
pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod hash_format;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod limits;
pub(crate) mod page;
pub(crate) mod password;
pub(crate) mod rate;
pub(crate) mod requirement;
pub(crate) mod scope;
pub(crate) mod token;
pub(crate) mod user;

use chrono::TimeDelta;

/// How far the clocks of instances may differ, and a clock may be set back, without an effect on what is
/// stored: an instant counts as too far in the future only beyond its limit and this tolerance.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// The number that a client sent as an id. `None` if it is not a number.
pub(crate) fn parse_id(text: &str) -> Option<i64> {
    if text.len() > limits::ID {
        return None;
    }
    text.parse().ok()
}

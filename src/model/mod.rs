//! Nouns: what Symbolon talks about. Nothing here does I/O or knows a protocol.

pub(crate) mod access_token;
pub(crate) mod audit;
mod common_passwords;
pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod hash_format;
pub(crate) mod identity;
pub(crate) mod import;
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

/// Whether a text certainly has more than this number of characters: a character has at most four bytes.
///
/// To be asked before PRECIS, whose cost grows with the square of the length.
pub(crate) fn is_too_long(text: &str, characters: usize) -> bool {
    text.len() > 4 * characters
}

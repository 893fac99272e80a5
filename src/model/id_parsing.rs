//! Ids that clients send.

use std::num::ParseIntError;

use crate::model::text_limits;

/// Parses an id that a client sent.
pub(crate) fn parse_id(text: &str) -> Result<i64, ParseIntError> {
    // A text that exceeds the limit is parsed as an empty text, which is refused.
    let is_too_long = text.len() > text_limits::ID;
    if is_too_long { "" } else { text }.parse()
}

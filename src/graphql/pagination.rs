//! Pages, after Relay's cursor connections specification.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::model::pagination::PageRequest;
use crate::model::text_limits;

const DEFAULT_PAGE: u64 = 20;
const LARGEST_PAGE: u64 = 100;

/// The arguments of a connection.
pub(super) struct Arguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl Arguments {
    /// The stretch that is asked for, of a list whose cursors are of this `kind`.
    pub(super) fn page(self, kind: &str) -> Result<PageRequest, Error> {
        let (backwards, limit) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(bad("Give first or last, not both.")),
            (None, None) => (false, DEFAULT_PAGE),
            (Some(first), None) => (false, checked(first)?),
            (None, Some(last)) => (true, checked(last)?),
        };
        let position = |cursor: Option<String>| cursor.map(|text| decode(kind, &text)).transpose();
        Ok(PageRequest {
            after: position(self.after)?,
            before: position(self.before)?,
            backwards,
            limit,
        })
    }
}

/// How many entries a page has at most, for what it may cost.
pub(super) fn page_size(first: Option<i32>, last: Option<i32>) -> usize {
    let asked_for = first
        .or(last)
        .map_or(DEFAULT_PAGE, |size| checked(size).unwrap_or(0));
    usize::try_from(asked_for).unwrap_or(0)
}

/// The complexity of a list of at most `most` entries: each entry counts as one, since `__typename` counts
/// as nothing.
pub(super) fn list_cost(most: usize, child_complexity: usize) -> usize {
    most.saturating_mul(child_complexity.saturating_add(1))
}

fn checked(asked_for: i32) -> Result<u64, Error> {
    u64::try_from(asked_for)
        .ok()
        .filter(|size| *size <= LARGEST_PAGE)
        .ok_or_else(|| bad("A page has 0 to 100 entries."))
}

/// Where an entry stands in its list; opaque.
pub(super) fn cursor(kind: &str, position: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}:{position}"))
}

fn decode(kind: &str, cursor: &str) -> Result<i64, Error> {
    let position = (cursor.len() <= text_limits::CURSOR)
        .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(kind)?.strip_prefix(':')?.parse().ok());
    position.ok_or_else(|| bad("This cursor is not one of this connection's."))
}

fn bad(why: &str) -> Error {
    Error::BadUserInput(why.to_owned())
}

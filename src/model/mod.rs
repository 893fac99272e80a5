//! Value types and the rules that apply to them. This module performs no I/O and does not depend on protocols.

pub(crate) mod access_token;
pub(crate) mod actor;
pub(crate) mod audit_event;
pub(crate) mod audit_event_enums;
pub(crate) mod client;
mod common_passwords;
pub(crate) mod confusables;
pub(crate) mod device_session;
pub(crate) mod email;
pub(crate) mod event;
pub(crate) mod field_change;
pub(crate) mod field_errors;
pub(crate) mod hash_formats;
pub(crate) mod hash_parts;
pub(crate) mod id_parsing;
pub(crate) mod identity;
#[cfg(feature = "server")]
pub(crate) mod imported_user;
pub(crate) mod label;
pub(crate) mod live_token;
pub(crate) mod one_time_link;
pub(crate) mod one_time_token;
pub(crate) mod pagination;
pub(crate) mod password;
pub(crate) mod password_hash;
pub(crate) mod precis;
pub(crate) mod random_bytes;
pub(crate) mod rate_limit;
pub(crate) mod request_credentials;
pub(crate) mod requirement;
pub(crate) mod scopes;
pub(crate) mod server_key;
pub(crate) mod session_lifetime;
pub(crate) mod session_summary;
pub(crate) mod session_token;
pub(crate) mod shared_session;
pub(crate) mod sign_in_method;
pub(crate) mod text_limits;
pub(crate) mod timestamp;
pub(crate) mod token_digest;
pub(crate) mod token_secret;
pub(crate) mod unsupported_hashes;

pub(crate) mod user;
pub(crate) mod user_record;
pub(crate) mod username;

use chrono::TimeDelta;

/// The maximum tolerated error of a clock. Stored data remains valid if the clocks of two instances differ by at most
/// this time, or if a clock is set back by at most this time. A stored instant is considered wrong only if it exceeds
/// its latest possible value by more than this time.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

//! The values of columns.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use symbolon::Role;

/// Parses a Boolean, or returns `None` for an empty text.
pub(super) fn boolean(text: &str) -> Result<Option<bool>, String> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(Some(true)),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(Some(false)),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// Parses a role. An empty text is the role of a user without administrative rights.
pub(super) fn role(text: &str) -> Result<Role, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "user" => Ok(Role::User),
        "admin" => Ok(Role::Admin),
        _ => Err("is neither user nor admin".to_owned()),
    }
}

/// Parses a time, or returns `None` for an empty text. A time without an offset is in UTC.
pub(super) fn time(text: &str) -> Result<Option<DateTime<Utc>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_time(text).map(Some).ok_or_else(|| {
        "is not a time, such as 2024-05-31T12:00:00Z, 2024-05-31 12:00:00, 2024-05-31 or 1717156800"
            .to_owned()
    })
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        // The date 20240531 and the days of a spreadsheet must not become seconds of 1970.
        return match text.len() {
            9 | 10 => DateTime::from_timestamp_secs(number),
            12 | 13 => DateTime::from_timestamp_millis(number),
            _ => None,
        };
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let text = text
        .strip_suffix(" UTC")
        .unwrap_or(text)
        .replacen(' ', "T", 1);
    let text = text.strip_suffix('Z').unwrap_or(&text).trim_end();
    if let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(time.and_utc());
    }
    if let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M") {
        return Some(time.and_utc());
    }
    let time = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z");
    time.ok().map(|time| time.to_utc())
}

//! Checks the settings for web pages of other origins.

use crate::config::Config;
use crate::error::StartError;

impl Config {
    /// Checks the origins and the header names of CORS. None of them can be a wildcard: with credentials, browsers do
    /// not accept one, and any page could act as the user.
    pub(super) fn check_cors(&self) -> Result<(), StartError> {
        let refuse = |message: String| Err(StartError::Configuration(message.into()));
        let http = &self.http;
        let mut texts = http.cors_origins.iter().chain(&http.cors_headers);
        if http.cors_credentials && texts.any(|text| text.contains('*')) {
            return refuse(
                "CORS with credentials requires exact origins and header names instead of `*`"
                    .to_owned(),
            );
        }
        // The messages contain no part of the setting, which may be a misplaced password.
        if let Some(index) = http.cors_origins.iter().position(|text| !is_origin(text)) {
            let item = index + 1;
            return refuse(format!(
                "item {item} of the CORS origins is not an origin such as https://app.example.org, without a path or a slash at the end"
            ));
        }
        if let Some(index) = http
            .cors_headers
            .iter()
            .position(|text| !is_header_name(text))
        {
            let item = index + 1;
            return refuse(format!(
                "item {item} of the CORS headers is not the name of a request header such as x-tenant"
            ));
        }
        Ok(())
    }
}

/// Returns whether the text is an origin in the form that browsers send (RFC 6454, section 6.2): without a path and
/// without a trailing slash.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map_or("", |(_, host)| host);
    let is_plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase();
    // Browsers omit the default port.
    let has_default_port = text.starts_with("https://") && host.ends_with(":443")
        || text.starts_with("http://") && host.ends_with(":80");
    !host.is_empty()
        && !has_default_port
        && text.chars().all(is_plain)
        && !host.contains(['/', '?', '#', '@', '*', ','])
}

/// Returns whether the text is a `token` (RFC 9110, section 5.6.2) other than a wildcard.
fn is_header_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

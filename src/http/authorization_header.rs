//! Parses the `Authorization` header (RFC 9110, section 11.6.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;

use crate::error::Error;
use crate::model::request_credentials::{BearerToken, Credentials, UserPass};
use crate::model::text_limits;

/// The base64 encoding of Basic credentials. Padding is optional, because some clients omit it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the credentials of a request. A malformed header is not an error, so that fields that require no
/// credentials still succeed.
///
/// # Errors
///
/// Returns `BadRequest` if the header is too long, or if the request has more than one `Authorization`
/// header, since a proxy and Symbolon could use different headers.
pub(super) fn parse_headers(headers: &HeaderMap) -> Result<Credentials, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(Credentials::None);
    };
    if values.next().is_some() {
        let message = "The request has several Authorization headers.";
        return Err(Error::BadRequest(message.to_owned()));
    }
    if value.len() > text_limits::AUTHORIZATION {
        return Err(Error::BadRequest(format!(
            "The Authorization header is longer than {} bytes.",
            text_limits::AUTHORIZATION
        )));
    }
    Ok(value.to_str().map_or(Credentials::Malformed, parse))
}

/// Parses the value of an `Authorization` header. WebSocket clients send the value in `connection_init`. A
/// value that is too long is treated as malformed.
pub(crate) fn parse(value: &str) -> Credentials {
    if value.len() > text_limits::AUTHORIZATION {
        return Credentials::Malformed;
    }
    let value = value.trim();
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim();
    let credentials = if scheme.eq_ignore_ascii_case("basic") {
        parse_basic(rest).map(Credentials::Basic)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        if is_placeholder(rest) {
            return Credentials::None;
        }
        is_token68(rest).then(|| Credentials::Bearer(BearerToken(rest.to_owned())))
    } else if is_placeholder(value) {
        return Credentials::None;
    } else {
        None
    };
    credentials.unwrap_or(Credentials::Malformed)
}

/// Returns whether the text is what web pages without a token send in place of a token.
fn is_placeholder(text: &str) -> bool {
    matches!(text, "" | "null" | "undefined")
}

/// Returns whether the text is a `token68` (RFC 9110, section 11.2).
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Parses Basic credentials (RFC 7617, section 2). curl encodes the credentials as UTF-8. Browsers
/// encode them as Latin-1, unless the challenge has the parameter `charset`.
fn parse_basic(encoded: &str) -> Option<UserPass> {
    let bytes = BASE64.decode(encoded).ok()?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|latin1| latin1.as_bytes().iter().copied().map(char::from).collect());
    let (username, password) = text.split_once(':')?;
    let credentials = UserPass::new(username, password);
    let has_control = |text: &str| text.contains(|c: char| c.is_ascii_control());
    let is_valid = !has_control(&credentials.username) && !has_control(&credentials.password);
    is_valid.then_some(credentials)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn basic_credentials_are_decoded_as_utf_8(
            username in "[^:\u{0}-\u{1f}\u{7f}]{0,20}",
            password in "[^\u{0}-\u{1f}\u{7f}]{0,20}",
            scheme in "[bB][aA][sS][iI][cC]",
        ) {
            let encoded = STANDARD.encode(format!("{username}:{password}"));
            let Credentials::Basic(parsed) = parse(&format!("{scheme} {encoded}")) else {
                panic!("not Basic");
            };
            prop_assert_eq!(parsed.username, username.trim_matches(' '));
            prop_assert_eq!(parsed.password, password);
        }

        #[test]
        fn bearer_credentials_are_a_token68(token in "[!-~]{1,60}") {
            match parse(&format!("Bearer {token}")) {
                Credentials::Bearer(parsed) => prop_assert!(is_token68(&token) && parsed.0 == token),
                Credentials::Malformed => prop_assert!(!is_token68(&token)),
                Credentials::None => prop_assert!(is_placeholder(&token)),
                Credentials::Basic(_) => panic!("not Basic"),
            }
        }

        #[test]
        fn no_header_causes_a_panic(value in "\\PC{0,80}") {
            parse(&value);
        }
    }
}

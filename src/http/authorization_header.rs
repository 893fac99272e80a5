//! Read the `Authorization` header (RFC 9110, section 11.6.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;

use crate::error::Error;
use crate::model::credentials::{BearerToken, Credentials, UserPass};
use crate::model::text_limits;

/// Clients disagree about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials of a request. What is empty or malformed is nobody's: a guard will say so, and
/// whoever needs no credentials is not troubled. Two headers are refused: a proxy may have looked at
/// the other one. So is one that is longer than the limit.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Credentials, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Credentials::None),
        (Some(value), None) if value.len() > text_limits::AUTHORIZATION => {
            Err(Error::BadRequest(format!(
                "The Authorization header is longer than {} bytes.",
                text_limits::AUTHORIZATION
            )))
        }
        (Some(value), None) => Ok(value.to_str().map_or(Credentials::None, parse)),
        (Some(_), Some(_)) => Err(Error::BadRequest(
            "There are several Authorization headers.".to_owned(),
        )),
    }
}

/// The credentials in the value of such a header, which a WebSocket sends in a message. One that is too
/// long is malformed.
pub(super) fn parse(value: &str) -> Credentials {
    if value.len() > text_limits::AUTHORIZATION {
        return Credentials::None;
    }
    let Some((scheme, rest)) = value.trim().split_once(' ') else {
        return Credentials::None;
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        basic(rest).map_or(Credentials::None, Credentials::Basic)
    } else if scheme.eq_ignore_ascii_case("bearer") && is_token68(rest) {
        Credentials::Bearer(BearerToken(rest.to_owned()))
    } else {
        Credentials::None
    }
}

/// What a frontend makes of a token that it does not have is no token.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && !matches!(text, "null" | "undefined")
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// RFC 7617, section 2. curl sends UTF-8, browsers send Latin-1 unless told otherwise.
fn basic(encoded: &str) -> Option<UserPass> {
    let bytes = BASE64.decode(encoded).ok()?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|latin1| latin1.as_bytes().iter().copied().map(char::from).collect());
    let (username, password) = text.split_once(':')?;
    (!text.contains(|c: char| c.is_ascii_control())).then(|| UserPass {
        username: username.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use poem::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(value: &[u8]) -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        credentials(&headers).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_header_is_read_without_a_panic(value in "[\t -~\u{80}-\u{ff}]{0,80}") {
            let latin1: Vec<u8> = value.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
            if let Ok(value) = HeaderValue::from_bytes(&latin1) {
                let mut headers = HeaderMap::new();
                headers.insert(AUTHORIZATION, value);
                prop_assert!(credentials(&headers).is_ok());
            }
        }

        #[test]
        fn basic_credentials_come_out_as_they_went_in(
            username in "[^:\u{0}-\u{1f}\u{7f}]{0,20}",
            password in "[^\u{0}-\u{1f}\u{7f}]{0,20}",
            scheme in "[bB][aA][sS][iI][cC]",
        ) {
            let encoded = STANDARD.encode(format!("{username}:{password}"));
            let Credentials::Basic(read) = of(format!("{scheme} {encoded}").as_bytes()) else {
                panic!("not read");
            };
            prop_assert_eq!(read.username, username);
            prop_assert_eq!(read.password, password);
        }

        #[test]
        fn latin_1_comes_out_where_it_is_no_utf_8(text in "[a-z]{0,5}[\u{c0}-\u{ff}][a-z]{1,5}") {
            let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
            let encoded = STANDARD.encode([&bytes[..], b":", &bytes[..]].concat());
            let Credentials::Basic(read) = of(format!("Basic {encoded}").as_bytes()) else {
                panic!("not read");
            };
            prop_assert_eq!(&read.username, &text);
            prop_assert_eq!(&read.password, &text);
        }

        #[test]
        fn a_bearer_token_is_token68_or_nobodys(token in "[!-~]{1,60}") {
            let is_token = is_token68(&token);
            let read = of(format!("Bearer {token}").as_bytes());
            match read {
                Credentials::Bearer(read) => prop_assert!(is_token && read.0 == token),
                Credentials::None => prop_assert!(!is_token),
                Credentials::Basic(_) => panic!("not Basic"),
            }
        }
    }
}

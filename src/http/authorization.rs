//! Read the `Authorization` header (RFC 9110, section 11.6.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;

use crate::error::Error;
use crate::model::credentials::{BearerToken, Credentials, UserPass};

/// Clients disagree about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials of a request. What is empty or malformed is nobody's: a guard will say so, and
/// whoever needs no credentials is not troubled. Two headers are refused: a proxy may have looked at
/// the other one.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Credentials, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Credentials::None),
        (Some(value), None) => Ok(value.to_str().map_or(Credentials::None, parse)),
        (Some(_), Some(_)) => Err(Error::BadRequest(
            "There are several Authorization headers.".to_owned(),
        )),
    }
}

fn parse(value: &str) -> Credentials {
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

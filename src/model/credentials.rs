//! What a request brings to show who it speaks for.

use std::fmt;

use crate::model::access_token::AccessTokenSecret;

/// The content of an `Authorization` header, before anybody has looked whether it is true.
#[derive(Clone, Debug, Default)]
pub(crate) enum Credentials {
    /// No header, an empty one or a malformed one.
    #[default]
    None,
    /// Basic (RFC 7617).
    Basic(UserPass),
    /// Bearer (RFC 6750).
    Bearer(BearerToken),
}

/// The user-id and the password of Basic credentials, as they were sent.
#[derive(Clone)]
pub(crate) struct UserPass {
    /// The user-id; it has no colon.
    pub(crate) username: String,
    /// Everything after the first colon.
    pub(crate) password: String,
}

impl fmt::Debug for UserPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserPass(redacted)")
    }
}

/// A Bearer token as it was sent, of whatever kind.
#[derive(Clone)]
pub(crate) struct BearerToken(pub(crate) String);

/// The type of a Bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    Session,
    Access,
}

impl BearerToken {
    /// Returns the type that the prefix of the token shows. The token may be invalid.
    pub(crate) fn token_type(&self) -> TokenType {
        if AccessTokenSecret::has_prefix(&self.0) {
            TokenType::Access
        } else {
            TokenType::Session
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

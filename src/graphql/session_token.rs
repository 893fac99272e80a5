//! Session tokens.

use async_graphql::SimpleObject;

use crate::graphql::timestamp::Timestamp;
use crate::graphql::user::User;
use crate::service::issued_token::IssuedToken;

/// The token of a session, which is either shared by all clients of the user or belongs to one device. Clients
/// send the token in the header `Authorization: Bearer <token>`
/// ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)) until the token expires or is
/// revoked.
#[derive(SimpleObject)]
#[graphql(name = "Token")]
pub(crate) struct SessionToken {
    /// The token. The token of a device session begins with `symd_`.
    token: String,
    /// The type of the token. Always `Bearer`.
    token_type: &'static str,
    /// The time at which the token expires.
    expires_at: Timestamp,
    /// The number of seconds until the token expires.
    expires_in: i64,
    /// The user whom the token authenticates.
    user: User,
}

impl From<IssuedToken> for SessionToken {
    fn from(issued: IssuedToken) -> Self {
        Self {
            token: issued.token.0,
            token_type: "Bearer",
            expires_at: issued.expires_at.into(),
            expires_in: issued.expires_in,
            user: issued.user.into(),
        }
    }
}

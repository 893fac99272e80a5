//! Issued session tokens.

use chrono::{DateTime, Utc};

use crate::model::request_credentials::BearerToken;
use crate::model::user::User;
use crate::service::visible_user::VisibleUser;

/// A session token, as it is returned to the client.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: BearerToken,
    pub(crate) expires_at: DateTime<Utc>,
    /// The seconds until `expires_at`.
    pub(crate) expires_in: i64,
    pub(crate) user: VisibleUser,
}

impl IssuedToken {
    pub(super) fn new(
        token: BearerToken,
        expires_at: DateTime<Utc>,
        user: User,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            token,
            expires_at,
            expires_in: (expires_at - now).num_seconds(),
            user: VisibleUser::whole(user),
        }
    }
}

/// A session token that [`Requester`](crate::Requester) has issued. The debug output does not contain the token.
///
/// ```
/// use symbolon::SessionToken;
///
/// /// Returns the body of a response to a sign-in.
/// fn body(session: &SessionToken) -> String {
///     format!("{} {}", session.expires_at.to_rfc3339(), session.token())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionToken {
    token: BearerToken,
    /// The time at which the token expires.
    pub expires_at: DateTime<Utc>,
    /// The user whom the token authenticates.
    pub user: User,
}

impl SessionToken {
    /// Returns the token, which the client sends as a Bearer token.
    ///
    /// ```
    /// fn authorization(session: &symbolon::SessionToken) -> String {
    ///     format!("Bearer {}", session.token())
    /// }
    /// ```
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token.0
    }
}

impl From<IssuedToken> for SessionToken {
    fn from(issued: IssuedToken) -> Self {
        Self {
            token: issued.token,
            expires_at: issued.expires_at,
            user: issued.user.into_user(),
        }
    }
}

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

//! One-time links.

use async_graphql::SimpleObject;

use crate::graphql::timestamp::Timestamp;
use crate::graphql::user::User;
use crate::model::one_time_link;
use crate::service::visible_user::VisibleUser;

/// A link with which a user chooses a new password. It can be used once. The server stores only a digest of
/// the token, and cannot return the link again. Send the link only to its user.
#[derive(SimpleObject)]
pub(crate) struct OneTimeLink {
    /// The URL. Its fragment contains the token and the username.
    url: String,
    /// The token, for the argument `token` of `resetPassword`. It consists of `symo_` and 38 letters and
    /// digits.
    token: String,
    /// The time at which the link expires.
    expires_at: Timestamp,
    /// The user who chooses a new password.
    user: User,
}

impl OneTimeLink {
    pub(super) fn new(user: VisibleUser, link: &one_time_link::OneTimeLink) -> Self {
        Self {
            url: link.url().to_owned(),
            token: link.token().to_owned(),
            expires_at: link.expires_at.into(),
            user: user.into(),
        }
    }
}

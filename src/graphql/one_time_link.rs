//! One-time links, and the payloads of the mutations that create and use them.

use async_graphql::{Result, SimpleObject};
use chrono::{DateTime, Utc};

use crate::graphql::connection::list_complexity;
use crate::graphql::user::User;
use crate::graphql::user_error::{MAX_USER_ERRORS, UserError, split};
use crate::model::field_errors::MutationError;
use crate::model::one_time_token;
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
    expires_at: DateTime<Utc>,
    /// The user who chooses a new password.
    user: User,
}

impl OneTimeLink {
    fn new(user: VisibleUser, link: &one_time_token::OneTimeLink) -> Self {
        Self {
            url: link.url().to_owned(),
            token: link.token().to_owned(),
            expires_at: link.expires_at,
            user: User(user),
        }
    }
}

/// The result of creating a link.
type Created = std::result::Result<(VisibleUser, one_time_token::OneTimeLink), MutationError>;

/// The result of `createResetLink`.
#[derive(SimpleObject)]
pub(crate) struct ResetLinkPayload {
    /// The link. Null if the operation was refused.
    link: Option<OneTimeLink>,
    /// The reasons why the operation was refused, at most 3. Empty if the link was created.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl ResetLinkPayload {
    pub(super) fn new(result: Created) -> Result<Self> {
        let (created, user_errors) = split(result)?;
        Ok(Self {
            link: created.map(|(user, link)| OneTimeLink::new(user, &link)),
            user_errors,
        })
    }
}

/// The result of `inviteUser`.
#[derive(SimpleObject)]
pub(crate) struct InviteUserPayload {
    /// The invited user. Null if the input was refused.
    user: Option<User>,
    /// The link with which the user chooses the first password. Null if the input was refused.
    link: Option<OneTimeLink>,
    /// The errors in the input, at most 3. Empty if the user was invited.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl InviteUserPayload {
    pub(super) fn new(result: Created) -> Result<Self> {
        let (created, user_errors) = split(result)?;
        let created =
            created.map(|(user, link)| (User(user.clone()), OneTimeLink::new(user, &link)));
        let (user, link) = created.unzip();
        Ok(Self {
            user,
            link,
            user_errors,
        })
    }
}

/// The result of `resetPassword`.
#[derive(SimpleObject)]
pub(crate) struct ResetPasswordPayload {
    /// The user whose password was changed. Null if the input was refused.
    user: Option<User>,
    /// The errors in the input, at most 3. Empty if the password was changed.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl ResetPasswordPayload {
    pub(super) fn new(result: std::result::Result<VisibleUser, MutationError>) -> Result<Self> {
        let (user, user_errors) = split(result)?;
        Ok(Self {
            user: user.map(User),
            user_errors,
        })
    }
}

//! The results of mutations.

use async_graphql::{ID, Result, SimpleObject};

use crate::graphql::access_token::AccessToken;
use crate::graphql::connection::list_complexity;
use crate::graphql::one_time_link::OneTimeLink;
use crate::graphql::session_token::SessionToken;
use crate::graphql::user::User;
use crate::graphql::user_error::{MAX_USER_ERRORS, UserError, split};
use crate::model::field_errors::MutationError;
use crate::model::one_time_link;
use crate::service::visible_user::VisibleUser;

/// The result of `createUser`.
#[derive(SimpleObject)]
pub(crate) struct CreateUserPayload {
    /// The new user. Null if the input was refused.
    pub(super) user: Option<User>,
    /// The errors in the input, at most 3. Empty if the user was created.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    pub(super) user_errors: Vec<UserError>,
}

/// The result of `changePassword`.
#[derive(SimpleObject)]
pub(crate) struct ChangePasswordPayload {
    /// A new session token. All earlier tokens are revoked. Null if the input was refused.
    pub(super) token: Option<SessionToken>,
    /// The errors in the input, at most 3. Empty if the password was changed.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    pub(super) user_errors: Vec<UserError>,
}

/// The result of `createAccessToken`.
#[derive(SimpleObject)]
pub(crate) struct CreateAccessTokenPayload {
    /// The access token, for use in the header `Authorization: Bearer <token>`. The access token
    /// consists of `sym_` and 38 letters and digits, of which the last 6 are a checksum. The server
    /// stores only a digest of the access token, and cannot return the access token again. Null if the
    /// input was refused.
    pub(super) token: Option<String>,
    /// The properties of the new access token. Null if the input was refused.
    pub(super) access_token: Option<AccessToken>,
    /// The errors in the input, at most 3. Empty if the access token was created.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    pub(super) user_errors: Vec<UserError>,
}

/// The result of `deleteUser`.
#[derive(SimpleObject)]
pub(crate) struct DeleteUserPayload {
    /// The ID of the deleted user. Null if the operation was refused.
    pub(super) deleted_user_id: Option<ID>,
    /// The reasons why the operation was refused, at most 3. Empty if the user was deleted.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    pub(super) user_errors: Vec<UserError>,
}

/// The result of a mutation that changes a user.
#[derive(SimpleObject)]
pub(crate) struct UserPayload {
    /// The user after the change. Null if the operation was refused.
    user: Option<User>,
    /// The reasons why the operation was refused, at most 3. Empty if the operation succeeded.
    #[graphql(complexity = "list_complexity(MAX_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl UserPayload {
    pub(super) fn new(result: Result<VisibleUser, MutationError>) -> Result<Self> {
        let (user, user_errors) = split(result)?;
        Ok(Self {
            user: user.map(User::from),
            user_errors,
        })
    }
}

/// The result of creating a link.
type CreatedLink = std::result::Result<(VisibleUser, one_time_link::OneTimeLink), MutationError>;

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
    pub(super) fn new(result: CreatedLink) -> Result<Self> {
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
    pub(super) fn new(result: CreatedLink) -> Result<Self> {
        let (created, user_errors) = split(result)?;
        let created =
            created.map(|(user, link)| (user.clone().into(), OneTimeLink::new(user, &link)));
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
    pub(super) fn new(result: Result<VisibleUser, MutationError>) -> Result<Self> {
        let (user, user_errors) = split(result)?;
        Ok(Self {
            user: user.map(User::from),
            user_errors,
        })
    }
}

//! The input objects of mutations.

use async_graphql::{ID, InputObject, MaybeUndefined};
use chrono::{DateTime, Utc};

use crate::model::validation::FieldChange;
use crate::service::access_tokens::AccessTokenForm;
use crate::service::input::Input;
use crate::service::profile::Profile;
use crate::service::registration::Registration;

/// The input of `createUser`.
#[derive(InputObject)]
pub(crate) struct CreateUserInput {
    /// The username: 1 to 64 characters, without spaces and colons. The letters must belong to one script,
    /// for example Latin, or to the scripts of Chinese, Japanese or Korean. Usernames that differ only in
    /// case are equal.
    username: String,
    /// The e-mail address. No other user can have it. Optional.
    email: Option<String>,
    /// The password: at most 128 characters, and at least the minimum that the server is configured with
    /// (8 by default). Very common passwords and passwords that contain the username are refused.
    password: String,
}

impl From<CreateUserInput> for Registration {
    fn from(input: CreateUserInput) -> Self {
        Self {
            username: input.username,
            email: input.email,
            password: input.password,
        }
    }
}

/// The input of `changePassword`.
#[derive(InputObject)]
pub(crate) struct ChangePasswordInput {
    /// The current password.
    pub(super) current_password: String,
    /// The new password: at most 128 characters, and at least the minimum that the server is configured
    /// with (8 by default). Very common passwords and passwords that contain the username are refused.
    pub(super) new_password: String,
}

/// The input of `createAccessToken`.
#[derive(InputObject)]
pub(crate) struct CreateAccessTokenInput {
    /// The name: 1 to 64 characters. No other access token of the user can have it.
    name: String,
    /// The scopes, at most 32. The default is `*`, which includes all scopes. A scope restricts the access
    /// token, and never grants more than the user's role. Symbolon defines the scopes `account:read`,
    /// `account:write` and `audit:read`. APIs that use Symbolon can define other scopes.
    scopes: Option<Vec<String>>,
    /// The lifetime, in seconds. Without `expiresIn` and `expiresAt`, the access token does not expire.
    expires_in: Option<i32>,
    /// The time at which the access token expires. It excludes `expiresIn`.
    expires_at: Option<DateTime<Utc>>,
}

impl From<CreateAccessTokenInput> for AccessTokenForm {
    fn from(input: CreateAccessTokenInput) -> Self {
        Self {
            name: input.name,
            scopes: input.scopes,
            expires_in: input
                .expires_in
                .map(|seconds| Input::new("expiresIn", seconds.into())),
            expires_at: input.expires_at.map(|at| Input::new("expiresAt", at)),
        }
    }
}

/// The input of `updateUser`. Fields that are left out do not change.
#[derive(InputObject)]
pub(crate) struct UpdateUserInput {
    /// The ID of the user. The default is the caller.
    pub(super) id: Option<ID>,
    /// The new username. The rules of `createUser` apply.
    username: Option<String>,
    /// The new e-mail address. Null removes the present one.
    email: MaybeUndefined<String>,
}

impl From<UpdateUserInput> for Profile {
    fn from(input: UpdateUserInput) -> Self {
        Self {
            username: input.username.map_or(FieldChange::Keep, FieldChange::Set),
            email: match input.email {
                MaybeUndefined::Undefined => FieldChange::Keep,
                MaybeUndefined::Null => FieldChange::Set(None),
                MaybeUndefined::Value(email) => FieldChange::Set(Some(email)),
            },
        }
    }
}

/// The input of `deleteUser`.
#[derive(InputObject)]
pub(crate) struct DeleteUserInput {
    /// The ID of the user. The default is the caller.
    pub(super) id: Option<ID>,
    /// The password of the caller. Required if callers delete their own user with a token, and ignored
    /// otherwise.
    pub(super) password: Option<String>,
}

/// The input of `setUserPassword`.
#[derive(InputObject)]
pub(crate) struct SetUserPasswordInput {
    /// The ID of the user.
    pub(super) id: ID,
    /// The new password: at most 128 characters, and at least the minimum that the server is configured
    /// with (8 by default). Very common passwords and passwords that contain the username are refused.
    pub(super) new_password: String,
}

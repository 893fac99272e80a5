//! The input objects of mutations.

use async_graphql::{ID, InputObject, MaybeUndefined};
use chrono::{DateTime, Utc};

use crate::graphql::user::Role;
use crate::model::field_change::FieldChange;
use crate::service::access_tokens::AccessTokenForm;
use crate::service::named_input::NamedInput;
use crate::service::one_time_links::Invitation;
use crate::service::profile::Profile;
use crate::service::registration::Registration;

/// The input of `createUser`.
#[derive(InputObject)]
pub(crate) struct CreateUserInput {
    /// The username, 1 to 64 characters long, without spaces or colons. All letters must belong to one
    /// script, for example Latin, or to the combination of scripts in which Chinese, Japanese or Korean is
    /// written. Usernames that differ only in case are considered equal.
    username: String,
    /// The e-mail address (optional). No other user can have the same e-mail address. A blank text counts as
    /// null.
    email: Option<String>,
    /// The password, at most 128 characters long. The password can contain every printable character and
    /// emoji. The minimum length is a setting of the server (8 by default). Very common passwords and
    /// passwords that contain the username are refused.
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
    /// The new password, at most 128 characters long. The minimum length is a setting of the server (8 by
    /// default). Very common passwords and passwords that contain the username are refused.
    pub(super) new_password: String,
}

/// The input of `createAccessToken`.
#[derive(InputObject)]
pub(crate) struct CreateAccessTokenInput {
    /// The name, 1 to 64 characters long. No other access token of the user can have the same name.
    name: String,
    /// The scopes, at most 32. The default is the scope `*`, which includes all scopes. The scopes restrict
    /// what the access token permits. Scopes never permit more than the role of the user permits. Symbolon
    /// defines the scopes `account:read`, `account:write` and `audit:read`. APIs that use Symbolon can
    /// define other scopes.
    scopes: Option<Vec<String>>,
    /// The lifetime, in seconds. If both `expiresIn` and `expiresAt` are omitted, the access token does not
    /// expire.
    expires_in: Option<i32>,
    /// The time at which the access token expires, before the year 10000. `expiresAt` cannot be combined with
    /// `expiresIn`.
    expires_at: Option<DateTime<Utc>>,
}

impl From<CreateAccessTokenInput> for AccessTokenForm {
    fn from(input: CreateAccessTokenInput) -> Self {
        Self {
            name: input.name,
            scopes: input.scopes,
            expires_in: input
                .expires_in
                .map(|seconds| NamedInput::new("expiresIn", seconds.into())),
            expires_at: input.expires_at.map(|at| NamedInput::new("expiresAt", at)),
        }
    }
}

/// The input of `updateUser`. Omitted fields leave the properties of the user unchanged.
#[derive(InputObject)]
pub(crate) struct UpdateUserInput {
    /// The ID of the user. The default is the ID of the caller.
    pub(super) id: Option<ID>,
    /// The new username, for which the same rules apply as in `createUser`.
    username: Option<String>,
    /// The new e-mail address. Null or a blank text removes the current e-mail address.
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
    /// The ID of the user. The default is the ID of the caller.
    pub(super) id: Option<ID>,
    /// The password of the caller. Required if the caller authenticates with a token and deletes their own
    /// user. Otherwise ignored.
    pub(super) password: Option<String>,
}

/// The input of `inviteUser`.
#[derive(InputObject)]
pub(crate) struct InviteUserInput {
    /// The username. It must satisfy the rules that `createUser` has for usernames.
    username: String,
    /// The e-mail address (optional). It must differ from the e-mail addresses of all other users. A blank
    /// text counts as null.
    email: Option<String>,
    /// The role. The default is `USER`, or the current role of a user who was invited before.
    role: Option<Role>,
}

impl From<InviteUserInput> for Invitation {
    fn from(input: InviteUserInput) -> Self {
        Self {
            username: input.username,
            email: input.email,
            role: input.role.map(Into::into),
        }
    }
}

/// The input of `setUserPassword`.
#[derive(InputObject)]
pub(crate) struct SetUserPasswordInput {
    /// The ID of the user.
    pub(super) id: ID,
    /// The new password, at most 128 characters long. The minimum length is a setting of the server (8 by
    /// default). Very common passwords and passwords that contain the username are refused.
    pub(super) new_password: String,
}

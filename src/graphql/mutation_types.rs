//! What mutations take and answer.

use std::sync::Arc;

use async_graphql::{ID, InputObject, MaybeUndefined, SimpleObject};
use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::graphql::object_types::{AccessToken, MOST_USER_ERRORS, Token, User, UserError};
use crate::graphql::pagination::list_cost;
use crate::model;
use crate::model::access_token::AccessTokenSecret;
use crate::model::user::UserId;
use crate::model::validation::{FieldChange, MutationError};
use crate::service::access_tokens::AccessTokenForm;
use crate::service::input::Input;
use crate::service::profile::Profile;
use crate::service::registration::Registration;
use crate::service::sessions::IssuedToken;
use crate::service::visible_user::VisibleUser;

/// An account to be.
#[derive(InputObject)]
pub(crate) struct CreateUserInput {
    /// 1 to 64 characters, without spaces and colons. Upper and lower case are the same name. The letters are
    /// of one script, such as Latin, or of those that Chinese, Japanese or Korean is written in.
    username: String,
    /// Optional; no other account may have it.
    email: Option<String>,
    /// At least as many characters as the server requires, 8 unless configured otherwise, and at most 128; none
    /// of the most common passwords, and none that contains the username.
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

/// What became of a registration.
#[derive(SimpleObject)]
pub(crate) struct CreateUserPayload {
    /// The account, if it was made.
    user: Option<User>,
    /// What is wrong with the input, if it was not, 3 errors at most.
    #[graphql(complexity = "list_cost(MOST_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl CreateUserPayload {
    pub(super) fn of(done: Result<VisibleUser, MutationError>) -> Result<Self, Error> {
        let (user, user_errors) = apart(done)?;
        Ok(Self {
            user: user.map(User),
            user_errors,
        })
    }
}

/// A new password, and the present one.
#[derive(InputObject)]
pub(crate) struct ChangePasswordInput {
    /// The present password.
    pub(super) current_password: String,
    /// At least as many characters as the server requires, 8 unless configured otherwise, and at most 128; none
    /// of the most common passwords, and none that contains the username.
    pub(super) new_password: String,
}

/// What became of a change of one's own password.
#[derive(SimpleObject)]
pub(crate) struct ChangePasswordPayload {
    /// A new session token, if the password was changed. Those before it are dead.
    token: Option<Token>,
    /// What is wrong with the input, if it was not, 3 errors at most.
    #[graphql(complexity = "list_cost(MOST_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl ChangePasswordPayload {
    pub(super) fn of(done: Result<IssuedToken, MutationError>) -> Result<Self, Error> {
        let (issued, user_errors) = apart(done)?;
        Ok(Self {
            token: issued.map(Token),
            user_errors,
        })
    }
}

/// An access token to be.
#[derive(InputObject)]
pub(crate) struct CreateAccessTokenInput {
    /// What to call it, 1 to 64 characters; no other token of the same user may have this name.
    name: String,
    /// What it may be used for; `*`, everything, if it is left out. Scopes narrow what the token may do,
    /// and never grant anything. Symbolon's own scopes are `account:read`, `account:write` and
    /// `audit:read`; the API behind Symbolon defines all others.
    scopes: Option<Vec<String>>,
    /// In how many seconds it expires. Without this and `expiresAt` it does not.
    expires_in: Option<i32>,
    /// When it expires.
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

/// What became of a request for an access token.
#[derive(SimpleObject)]
pub(crate) struct CreateAccessTokenPayload {
    /// The token itself, which is never shown again: `sym_`, and 38 letters and digits, the last 6 of
    /// which are a checksum. To be sent as `Authorization: Bearer …`.
    token: Option<String>,
    /// What is kept of it.
    access_token: Option<AccessToken>,
    /// What is wrong with the input, if there is no token, 3 errors at most.
    #[graphql(complexity = "list_cost(MOST_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl CreateAccessTokenPayload {
    pub(super) fn of(
        done: Result<(AccessTokenSecret, model::access_token::AccessToken), MutationError>,
    ) -> Result<Self, Error> {
        let (made, user_errors) = apart(done)?;
        let (secret, access_token) = made.unzip();
        Ok(Self {
            token: secret.map(|secret| secret.reveal().to_owned()),
            access_token: access_token.map(Arc::new).map(AccessToken),
            user_errors,
        })
    }
}

/// What an account is changed to. What is left out stays as it is.
#[derive(InputObject)]
pub(crate) struct UpdateUserInput {
    /// The account's number; whoever is asking changes their own without it. For admins only, where it
    /// is another account's.
    pub(super) id: Option<ID>,
    /// Another name, by the rules of `createUser`, or another spelling of the same. Requires HTTP Basic
    /// credentials, where it is another account's.
    username: Option<String>,
    /// Another e-mail address; null removes it. Requires HTTP Basic credentials.
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

/// An account, and another password for it.
#[derive(InputObject)]
pub(crate) struct SetUserPasswordInput {
    /// The account's number.
    pub(super) id: ID,
    /// At least as many characters as the server requires, 8 unless configured otherwise, and at most 128; none
    /// of the most common passwords, and none that contains the username.
    pub(super) new_password: String,
}

/// What became of a change of an account.
#[derive(SimpleObject)]
pub(crate) struct UserPayload {
    /// The account as it is now, if it was changed.
    user: Option<User>,
    /// Why it was not, if it was not, 3 errors at most.
    #[graphql(complexity = "list_cost(MOST_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl UserPayload {
    pub(super) fn of(done: Result<VisibleUser, MutationError>) -> Result<Self, Error> {
        let (user, user_errors) = apart(done)?;
        Ok(Self {
            user: user.map(User),
            user_errors,
        })
    }
}

/// An account to be deleted.
#[derive(InputObject)]
pub(crate) struct DeleteUserInput {
    /// The account's number; whoever is asking deletes their own without it. For admins only, where it
    /// is another account's.
    pub(super) id: Option<ID>,
    /// The password of the caller's own account. Not needed with HTTP Basic credentials, nor for another
    /// account.
    pub(super) password: Option<String>,
}

/// What became of a deletion.
#[derive(SimpleObject)]
pub(crate) struct DeleteUserPayload {
    /// The number that the account had, if it was deleted.
    deleted_user_id: Option<ID>,
    /// Why it was not, if it was not, 3 errors at most.
    #[graphql(complexity = "list_cost(MOST_USER_ERRORS, child_complexity)")]
    user_errors: Vec<UserError>,
}

impl DeleteUserPayload {
    pub(super) fn of(done: Result<UserId, MutationError>) -> Result<Self, Error> {
        let (deleted, user_errors) = apart(done)?;
        Ok(Self {
            deleted_user_id: deleted.map(ID::from),
            user_errors,
        })
    }
}

/// What a form shows is part of an answer; anything else is an error.
fn apart<T>(done: Result<T, MutationError>) -> Result<(Option<T>, Vec<UserError>), Error> {
    match done {
        Ok(value) => Ok((Some(value), Vec::new())),
        Err(MutationError::Fields(errors)) => {
            let errors = errors.into_iter().take(MOST_USER_ERRORS);
            Ok((None, errors.map(UserError::from).collect()))
        }
        Err(MutationError::Error(error)) => Err(error),
    }
}

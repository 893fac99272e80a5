//! The objects and enums of the schema.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};

use crate::graphql::context::loader;
use crate::graphql::data_loader::AccessTokensOf;
use crate::graphql::pagination::list_cost;
use crate::model::text_limits;
use crate::model::user::UserId;
use crate::model::validation::{FieldError, FieldErrorCode};
use crate::model::{self, user};
use crate::service::access_tokens::MOST_TOKENS;
use crate::service::sessions::IssuedToken;
use crate::service::visible_user::VisibleUser;

/// The id of an account. A text that is no number is the id of no account.
pub(super) fn user_id(id: &ID) -> UserId {
    id.parse().unwrap_or(UserId(0))
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "user::Role")]
pub(crate) enum Role {
    /// Whatever concerns the account itself.
    User,
    /// Whatever concerns any account.
    Admin,
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct User(pub(super) VisibleUser);

/// An account. `id` and `username` are visible to every caller. All other fields are for the account itself
/// and for admins, and null for others. An access token needs the scope `account:read` for them, except for
/// the `role` of its own account.
#[Object]
#[expect(clippy::unused_async, reason = "resolvers are asynchronous")]
impl User {
    /// Its number. Never used twice.
    async fn id(&self) -> ID {
        self.0.id().into()
    }

    /// Its name, as its owner writes it. Names that differ in upper and lower case only are the same.
    async fn username(&self) -> &str {
        self.0.username()
    }

    /// Its role. For the user and admins; null for others.
    async fn role(&self) -> Result<Option<Role>> {
        Ok(self.0.role()?.map(Role::from))
    }

    /// When it was registered. For the user and admins; null for others.
    async fn created_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(self.0.created_at()?)
    }

    /// Its e-mail address, not verified. For the user and admins; null for others.
    async fn email(&self) -> Result<Option<&str>> {
        Ok(self.0.email()?)
    }

    /// When its password was last accepted. For the user and admins; null for others.
    async fn last_sign_in_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(self.0.last_sign_in_at()?)
    }

    /// Its access tokens, 50 at most, in the order in which they were made. For the user and admins; null
    /// for others.
    #[graphql(complexity = "list_cost(MOST_TOKENS, child_complexity)")]
    async fn access_tokens(&self, ctx: &Context<'_>) -> Result<Option<Vec<AccessToken>>> {
        let Some(id) = self.0.private_id()? else {
            return Ok(None);
        };
        // In a box, or each field of a user would be as large.
        let tokens = Box::pin(loader(ctx)?.load_one(AccessTokensOf(id))).await?;
        let tokens = tokens.unwrap_or_default().into_iter();
        Ok(Some(tokens.map(AccessToken).collect()))
    }

    /// Since when the account cannot sign in; null while it can. For the user and admins; null for others.
    async fn disabled_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(self.0.disabled_at()?)
    }
}

/// A session token: 32 characters, to be sent as `Authorization: Bearer …` (RFC 6750) until it
/// expires or is revoked. Each user has one.
#[derive(Debug)]
pub(crate) struct Token(pub(super) IssuedToken);

/// A session token: 32 characters, to be sent as `Authorization: Bearer …` (RFC 6750) until it
/// expires or is revoked. Each user has one.
#[Object]
impl Token {
    /// The token itself.
    async fn token(&self) -> &str {
        self.0.token.reveal()
    }

    /// Always `Bearer`.
    async fn token_type(&self) -> &str {
        "Bearer"
    }

    /// When it expires.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    /// In how many seconds it expires.
    async fn expires_in(&self) -> i64 {
        self.0.expires_in
    }

    /// Whose it is.
    async fn user(&self) -> User {
        User(self.0.user.clone())
    }
}

/// An access token, without itself.
#[derive(Debug)]
pub(crate) struct AccessToken(pub(super) Arc<model::access_token::AccessToken>);

/// An access token, without itself: named, long-lived, and narrowed by its scopes.
#[Object]
impl AccessToken {
    /// Its number. Never used twice.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// What its owner calls it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may be used for, 32 scopes at most; `*` is everything.
    #[graphql(complexity = "list_cost(text_limits::SCOPES, child_complexity)")]
    async fn scopes(&self) -> &[String] {
        self.0.scopes.as_slice()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it expires; null if it does not.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was last used, to the minute; null if it never was.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }
}

/// The number of errors that a payload has at most: one for each field of an input that can be wrong.
pub(super) const MOST_USER_ERRORS: usize = 3;

/// What is wrong with a field of an input, for a form to show beside it.
#[derive(Debug, SimpleObject)]
pub(crate) struct UserError {
    /// For programs.
    code: UserErrorCode,
    /// The field of the input, if it is about one.
    field: Option<&'static str>,
    /// For people.
    message: Cow<'static, str>,
}

/// What can be wrong with a field of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "FieldErrorCode")]
pub(crate) enum UserErrorCode {
    /// Another account has this value.
    Taken,
    /// The value is missing.
    Blank,
    /// The value has too few characters.
    TooShort,
    /// The value has too many characters.
    TooLong,
    /// The value has a form, or characters, that are not allowed, or is nobody's.
    Invalid,
    /// The value is not the present password.
    WrongPassword,
    /// There would be no admin left.
    LastAdmin,
    /// There are as many as there may be.
    LimitReached,
    /// The password is among the 100,000 most common ones, which are guessed first.
    PasswordTooCommon,
    /// The password contains the username.
    PasswordContainsUsername,
}

impl From<FieldError> for UserError {
    fn from(error: FieldError) -> Self {
        Self {
            code: error.code.into(),
            field: Some(error.field),
            message: error.message,
        }
    }
}

//! The mutations.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};

use crate::graphql::context::{authentication, services};
use crate::graphql::objects::{Token, User, UserError};
use crate::model::token::Lifetime;
use crate::service::users::Registration;

/// Symbolon's mutations; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Symbolon's mutations.
#[Object(name = "SymbolonMutation")]
impl Mutation {
    /// Registers an account. What is wrong with the input comes back as `userErrors`.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account to be.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let registered = services(ctx)?
            .users
            .register(authentication(ctx)?, input.into())
            .await?;
        Ok(match registered {
            Ok(user) => CreateUserPayload {
                user: Some(User::own(user)),
                user_errors: Vec::new(),
            },
            Err(errors) => CreateUserPayload {
                user: None,
                user_errors: errors.into_iter().map(UserError::from).collect(),
            },
        })
    }

    /// Trades username and password, sent as HTTP Basic credentials (RFC 7617), for the session
    /// token. While more than 60 s remain of it, the same token is handed out again.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many seconds a new token lives: 120 to 2592000 (30 days). Of no effect on a \
                    token that is handed out again."
        )]
        expires_in: Option<i32>,
        #[graphql(
            default_with = "Some(false)",
            desc = "Replaces the token, which ends the present one, instead of handing it out again."
        )]
        fresh: Option<bool>,
    ) -> Result<Token> {
        let lifetime = expires_in
            .map(|seconds| Lifetime::from_seconds(seconds.into()))
            .transpose()?;
        let issued = authentication(ctx)?
            .create_token(lifetime, fresh.unwrap_or_default())
            .await?;
        Ok(Token(issued))
    }

    /// Ends the session token that is sent as Bearer. True when this call ended a live token, false
    /// when it was already dead.
    async fn revoke_token(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(authentication(ctx)?.revoke_token().await?)
    }
}

/// An account to be.
#[derive(InputObject)]
pub(crate) struct CreateUserInput {
    /// 1 to 64 characters, without spaces and colons. Upper and lower case are the same name.
    username: String,
    /// Optional; no other account may have it.
    email: Option<String>,
    /// 8 to 128 characters.
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
    /// What is wrong with the input, if it was not.
    user_errors: Vec<UserError>,
}

//! The mutations. What waits for the database is in a box, as with the queries.

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::context::{authentication, services};
use crate::graphql::mutation_types::{
    ChangePasswordInput, ChangePasswordPayload, CreateAccessTokenInput, CreateAccessTokenPayload,
    CreateUserInput, CreateUserPayload, DeleteUserInput, DeleteUserPayload, SetUserPasswordInput,
    UpdateUserInput, UserPayload,
};
use crate::graphql::object_types::{Role, Token, user_id};
use crate::model::parse_id;
use crate::model::session::Lifetime;
use crate::model::user;
use crate::model::validation::MutationError;
use crate::service::input::Input;
use crate::service::sessions::TokenOptions;

/// Symbolon's mutations; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Symbolon's mutations.
#[Object(name = "SymbolonMutation")]
impl Mutation {
    /// Registers an account. What is wrong with the input comes back as `userErrors`. Where
    /// registration is closed, only admins may, and an access token needs the scope `account:write`.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account to be.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let users = &services(ctx)?.users;
        let caller = authentication(ctx)?.into();
        let registration = input.into();
        let done = Box::pin(users.register(caller, &registration, user::Role::User)).await;
        Ok(CreateUserPayload::of(done)?)
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
        let fresh = fresh.unwrap_or_default();
        let wanted = TokenOptions { lifetime, fresh };
        let issued = Box::pin(authentication(ctx)?.create_token(wanted)).await?;
        Ok(Token(issued))
    }

    /// Ends the token that is sent as Bearer, a session token or an access token. True when this call
    /// ended a live token, false when it was already dead.
    async fn revoke_token(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Box::pin(authentication(ctx)?.revoke_token()).await?)
    }

    /// Lets the session token that is sent as Bearer live for a full lifetime from now, without a
    /// password, up to a maximum age since the last sign-in (30 days unless configured otherwise).
    async fn renew_token(&self, ctx: &Context<'_>) -> Result<Token> {
        let issued = Box::pin(authentication(ctx)?.renew_token()).await?;
        Ok(Token(issued))
    }

    /// Ends every token of the caller, the session token and all access tokens; how many were live. An
    /// access token needs the scope `account:write`.
    async fn revoke_all_tokens(&self, ctx: &Context<'_>) -> Result<u32> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        number(Box::pin(users.revoke_own_tokens(caller)).await)
    }

    /// Makes an access token, for a device, a script or another service. It is shown here and never
    /// again. Requires HTTP Basic credentials: a token gets no other token.
    async fn create_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateAccessTokenInput,
    ) -> Result<CreateAccessTokenPayload> {
        let caller = authentication(ctx)?.into();
        let tokens = &services(ctx)?.access_tokens;
        let done = Box::pin(tokens.create(caller, input.into())).await;
        Ok(CreateAccessTokenPayload::of(done)?)
    }

    /// Ends an access token of the caller. True when this call ended a live one, false when there is none
    /// of this number. An access token needs the scope `account:write`.
    async fn revoke_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token's number.")] id: ID,
    ) -> Result<bool> {
        let caller = authentication(ctx)?.into();
        // No token has the id 0.
        let id = parse_id(&id).unwrap_or(0);
        let ended = Box::pin(services(ctx)?.access_tokens.revoke_own(caller, id)).await?;
        Ok(ended)
    }

    /// Changes the password of the caller. It ends every credential, the session token of this request too,
    /// since copies of it may be elsewhere, and answers with a new session token. Requires a session token.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The present and the new password.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let current = Input::new("currentPassword", input.current_password.as_str());
        let new = Input::new("newPassword", input.new_password.as_str());
        let request = authentication(ctx)?;
        let done = services(ctx)?.users.change_password(request, current, new);
        Ok(ChangePasswordPayload::of(Box::pin(done).await)?)
    }

    /// Changes the name or the e-mail address of an account: the caller's own, or, for admins, any. The
    /// e-mail address, and the name of another account, require HTTP Basic credentials. For the caller's
    /// own name, an access token needs the scope `account:write`.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is changed to.")] input: UpdateUserInput,
    ) -> Result<UserPayload> {
        let caller = authentication(ctx)?.into();
        let id = input.id.as_ref().map(user_id);
        let users = &services(ctx)?.users;
        let done = Box::pin(users.update(caller, id, input.into())).await;
        Ok(UserPayload::of(done)?)
    }

    /// Deletes an account: the caller's own, with the password, or, for admins, any other. Its tokens are
    /// dead at once. An access token needs the scope `account:write`.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and the password.")] input: DeleteUserInput,
    ) -> Result<DeleteUserPayload> {
        let caller = authentication(ctx)?.into();
        let id = input.id.as_ref().map(user_id);
        let password = Input::new("password", input.password.as_deref().unwrap_or_default());
        let users = &services(ctx)?.users;
        let done = Box::pin(users.delete(caller, id, password)).await;
        Ok(DeleteUserPayload::of(done)?)
    }

    /// Gives an account another role. The last admin keeps theirs. For admins. Requires HTTP Basic
    /// credentials.
    async fn set_user_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
        #[graphql(desc = "Its role from now on.")] role: Role,
    ) -> Result<UserPayload> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        let done = Box::pin(users.set_role(caller, user_id(&id), role.into())).await;
        Ok(UserPayload::of(done)?)
    }

    /// Gives another account another password, and ends its tokens. For admins. Requires HTTP Basic
    /// credentials.
    async fn set_user_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account and the password.")] input: SetUserPasswordInput,
    ) -> Result<UserPayload> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        let new = Input::new("newPassword", input.new_password.as_str());
        let done = users.set_password(caller, user_id(&input.id), new);
        Ok(UserPayload::of(Box::pin(done).await)?)
    }

    /// Disables an account: it cannot sign in, and its tokens end. Not that of the last admin. For admins.
    /// An access token needs the scope `account:write`.
    async fn disable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<UserPayload> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        let done = Box::pin(users.disable(caller, user_id(&id))).await;
        Ok(UserPayload::of(done)?)
    }

    /// Enables an account that was disabled: it can sign in again. Tokens that it had stay dead. For admins.
    /// Requires HTTP Basic credentials.
    async fn enable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<UserPayload> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        let done = Box::pin(users.enable(caller, user_id(&id))).await;
        Ok(UserPayload::of(done)?)
    }

    /// Ends every token of an account; how many were live. For admins. An access token needs the scope
    /// `account:write`.
    async fn revoke_user_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<u32> {
        let caller = authentication(ctx)?.into();
        let users = &services(ctx)?.users;
        number(Box::pin(users.revoke_tokens(caller, user_id(&id))).await)
    }
}

/// Where there is no form that could show what is wrong.
fn number(done: Result<u32, MutationError>) -> Result<u32> {
    Ok(done.map_err(|refused| match refused {
        MutationError::Error(error) => error,
        MutationError::Fields(_) => Error::BadUserInput(refused.to_string()),
    })?)
}

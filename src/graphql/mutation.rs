//! The mutations. What waits for the database is in a box, as with the queries.

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::context::{authentication, services};
use crate::graphql::forms::{
    ChangePasswordInput, ChangePasswordPayload, CreateAccessTokenInput, CreateAccessTokenPayload,
    CreateUserInput, CreateUserPayload, DeleteUserInput, DeleteUserPayload, SetUserPasswordInput,
    UpdateUserInput, UserPayload,
};
use crate::graphql::guard::{RequireRole, RequireScope, SessionOnly};
use crate::graphql::objects::{Role, Token};
use crate::model::audit::Actor;
use crate::model::form::Refused;
use crate::model::parse_id;
use crate::model::scope::ACCOUNT_WRITE;
use crate::model::token::Lifetime;
use crate::model::user::{self, UserId};
use crate::service::Services;
use crate::service::authentication::Authentication;
use crate::service::tokens::Wanted;

/// Symbolon's mutations; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Symbolon's mutations.
#[Object(name = "SymbolonMutation")]
impl Mutation {
    /// Registers an account. What is wrong with the input comes back as `userErrors`. Where
    /// registration is closed, only admins may.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account to be.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let users = &services(ctx)?.users;
        let done = Box::pin(users.register(authentication(ctx)?, &input.into())).await;
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
        let wanted = Wanted { lifetime, fresh };
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

    /// Ends every token of whoever shows one of them or the password: the session token and all access
    /// tokens; how many were live.
    async fn revoke_all_tokens(&self, ctx: &Context<'_>) -> Result<u32> {
        let asking = authentication(ctx)?;
        asking.require_scope_of_bearer(ACCOUNT_WRITE).await?;
        let accounts = &services(ctx)?.accounts;
        number(Box::pin(accounts.revoke_own_tokens(asking)).await)
    }

    /// Makes an access token, for a device, a script or another service. It is shown here and never
    /// again. Takes the password, sent as HTTP Basic credentials, or a session token.
    async fn create_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateAccessTokenInput,
    ) -> Result<CreateAccessTokenPayload> {
        let asking = authentication(ctx)?;
        let done = Box::pin(asking.create_access_token(input.into())).await;
        Ok(CreateAccessTokenPayload::of(done)?)
    }

    /// Ends an access token of whoever is asking. True when this call ended a live one, false when
    /// there is none of this number.
    #[graphql(guard = "RequireScope(ACCOUNT_WRITE)")]
    async fn revoke_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token's number.")] id: ID,
    ) -> Result<bool> {
        let (asking, actor, own) = asking(ctx).await?;
        // What is no number is none's.
        let id = parse_id(&id).unwrap_or(0);
        let ended = Box::pin(services(ctx)?.access_tokens.end(own, id, actor)).await?;
        asking.look_again();
        Ok(ended)
    }

    /// Changes the password of whoever is asking. It ends every credential, the asking token too,
    /// since copies of it may be elsewhere, and answers with a new session token.
    #[graphql(guard = "SessionOnly")]
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The present and the new password.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let Services {
            accounts, tokens, ..
        } = services(ctx)?;
        let ChangePasswordInput {
            current_password,
            new_password,
        } = input;
        let asking = authentication(ctx)?;
        let done = accounts.change_password(asking, tokens, &current_password, &new_password);
        Ok(ChangePasswordPayload::of(Box::pin(done).await)?)
    }

    /// Changes the name or the e-mail address of an account: one's own, or, for admins, any.
    #[graphql(guard = "RequireScope(ACCOUNT_WRITE)")]
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is changed to.")] input: UpdateUserInput,
    ) -> Result<UserPayload> {
        let (asking, actor, own) = asking(ctx).await?;
        let id = input.id.as_ref().map_or(own, user_id);
        let accounts = &services(ctx)?.accounts;
        let done = Box::pin(accounts.update(&actor, id, input.into())).await;
        asking.look_again();
        Ok(UserPayload::of(done)?)
    }

    /// Deletes an account: one's own, with the password, or, for admins, any other. Its tokens are dead
    /// at once.
    #[graphql(guard = "RequireScope(ACCOUNT_WRITE)")]
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and the password.")] input: DeleteUserInput,
    ) -> Result<DeleteUserPayload> {
        let (asking, actor, own) = asking(ctx).await?;
        let id = input.id.as_ref().map_or(own, user_id);
        let accounts = &services(ctx)?.accounts;
        let done = if id == own {
            let password = input.password.unwrap_or_default();
            Box::pin(accounts.delete_own(asking, &password)).await
        } else {
            Box::pin(accounts.delete(&actor, id)).await.map(|()| id)
        };
        Ok(DeleteUserPayload::of(done)?)
    }

    /// Gives an account another role. The last admin keeps theirs. For admins.
    #[graphql(guard = "RequireRole(user::Role::Admin).and(RequireScope(ACCOUNT_WRITE))")]
    async fn set_user_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
        #[graphql(desc = "Its role from now on.")] role: Role,
    ) -> Result<UserPayload> {
        let (asking, actor, _) = asking(ctx).await?;
        let accounts = &services(ctx)?.accounts;
        let done = Box::pin(accounts.set_role(&actor, user_id(&id), role.into())).await;
        asking.look_again();
        Ok(UserPayload::of(done)?)
    }

    /// Gives another account another password, and ends its tokens. For admins.
    #[graphql(guard = "RequireRole(user::Role::Admin).and(SessionOnly)")]
    async fn set_user_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account and the password.")] input: SetUserPasswordInput,
    ) -> Result<UserPayload> {
        let (asking, actor, _) = asking(ctx).await?;
        asking.claim_new_hash()?;
        let accounts = &services(ctx)?.accounts;
        let done = accounts.set_password(&actor, user_id(&input.id), &input.new_password);
        Ok(UserPayload::of(Box::pin(done).await)?)
    }

    /// Lets nobody sign in to an account any more, and ends its tokens. Not that of the last admin. For
    /// admins.
    #[graphql(guard = "RequireRole(user::Role::Admin).and(RequireScope(ACCOUNT_WRITE))")]
    async fn disable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<UserPayload> {
        let (asking, actor, _) = asking(ctx).await?;
        let accounts = &services(ctx)?.accounts;
        let done = Box::pin(accounts.disable(&actor, user_id(&id))).await;
        asking.look_again();
        Ok(UserPayload::of(done)?)
    }

    /// Lets people sign in to an account again. Tokens that it had stay dead. For admins.
    #[graphql(guard = "RequireRole(user::Role::Admin).and(RequireScope(ACCOUNT_WRITE))")]
    async fn enable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<UserPayload> {
        let (_, actor, _) = asking(ctx).await?;
        let accounts = &services(ctx)?.accounts;
        let done = Box::pin(accounts.enable(&actor, user_id(&id))).await;
        Ok(UserPayload::of(done)?)
    }

    /// Ends every token of an account; how many were live. For admins.
    #[graphql(guard = "RequireRole(user::Role::Admin).and(RequireScope(ACCOUNT_WRITE))")]
    async fn revoke_user_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: ID,
    ) -> Result<u32> {
        let (asking, actor, _) = asking(ctx).await?;
        let accounts = &services(ctx)?.accounts;
        let done = Box::pin(accounts.revoke_tokens(&actor, user_id(&id))).await;
        asking.look_again();
        number(done)
    }
}

/// Where there is no form that could show what is wrong.
fn number(done: Result<u32, Refused>) -> Result<u32> {
    Ok(done.map_err(|refused| match refused {
        Refused::Error(error) => error,
        Refused::Form(_) => Error::BadUserInput(refused.to_string()),
    })?)
}

/// Who is asking: the request, the account as a doer, and its number.
async fn asking<'a>(ctx: &Context<'a>) -> Result<(&'a Authentication, Actor, UserId), Error> {
    let asking = authentication(ctx)?;
    let own = asking.identity().await?.user().id;
    Ok((asking, asking.actor().await?, own))
}

/// What is no number is nobody's.
fn user_id(id: &ID) -> UserId {
    id.parse().unwrap_or(UserId(0))
}

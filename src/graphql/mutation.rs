//! The mutations. Futures that wait for the database are boxed, because the future of each field of a type is
//! as large as the largest one.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::access_token::AccessToken;
use crate::graphql::context::{authentication, caller};
use crate::graphql::mutation_inputs::{
    ChangePasswordInput, CreateAccessTokenInput, CreateUserInput, DeleteUserInput,
    SetUserPasswordInput, UpdateUserInput,
};
use crate::graphql::mutation_payloads::{
    ChangePasswordPayload, CreateAccessTokenPayload, CreateUserPayload, DeleteUserPayload,
    UserPayload,
};
use crate::graphql::session_token::SessionToken;
use crate::graphql::user::{Role, User, user_id};
use crate::graphql::user_error::split;
use crate::model::parse_id;
use crate::model::session::Lifetime;
use crate::model::validation::MutationError;
use crate::service::input::Input;
use crate::service::sessions::TokenOptions;

/// Symbolon's mutations, to be merged with the mutations of an application.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Symbolon's mutations.
#[Object(name = "SymbolonMutation")]
impl Mutation {
    /// Creates a user.
    ///
    /// Requires no credentials if registration is open. Closed registration requires the role `ADMIN` and a
    /// session token, HTTP Basic credentials, or an access token with the scope `account:write`. Other callers
    /// get the error `FORBIDDEN` with the reason `REGISTRATION_CLOSED`. After too many registrations from one
    /// address, the error is `RATE_LIMITED`.
    ///
    /// `userErrors` can contain `TAKEN`, `BLANK`, `TOO_SHORT`, `TOO_LONG`, `INVALID`, `PASSWORD_TOO_COMMON`
    /// and `PASSWORD_CONTAINS_USERNAME`.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new user.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let (caller, services) = caller(ctx)?;
        let (users, role) = (&services.users, Role::User.into());
        let result = Box::pin(users.register(caller, &input.into(), role)).await;
        let (user, user_errors) = split(result)?;
        let user = user.map(User);
        Ok(CreateUserPayload { user, user_errors })
    }

    /// Returns the session token of the user. If the user has a session token that is valid for more than 60
    /// seconds, it is returned. Otherwise, a new one is issued.
    ///
    /// Requires HTTP Basic credentials ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)). Wrong credentials cause the error `UNAUTHENTICATED` with the reason `INVALID_CREDENTIALS`. After too many
    /// failed attempts, the error is `RATE_LIMITED`.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The lifetime of a new session token, in seconds: 120 to 2592000 (30 days). It does \
                    not change an existing session token."
        )]
        expires_in: Option<i32>,
        #[graphql(
            default_with = "Some(false)",
            desc = "Issue a new session token, and revoke the existing one."
        )]
        fresh: Option<bool>,
    ) -> Result<SessionToken> {
        let lifetime = expires_in
            .map(|seconds| Lifetime::from_seconds(seconds.into()))
            .transpose()?;
        let fresh = fresh.unwrap_or_default();
        let options = TokenOptions { lifetime, fresh };
        let issued = Box::pin(authentication(ctx)?.create_token(options)).await?;
        Ok(issued.into())
    }

    /// Revokes the session token or access token with which the request is authenticated. Returns true if
    /// the token was valid, and false if it had already expired or been revoked.
    ///
    /// A token that was never issued causes the error `UNAUTHENTICATED` with the reason `TOKEN_INVALID`.
    async fn revoke_token(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Box::pin(authentication(ctx)?.revoke_token()).await?)
    }

    /// Extends the session token with which the request is authenticated by a full lifetime from now. The new
    /// expiration is at most the maximum age of a session (30 days by default) after the last sign-in.
    ///
    /// Requires a session token.
    async fn renew_token(&self, ctx: &Context<'_>) -> Result<SessionToken> {
        let issued = Box::pin(authentication(ctx)?.renew_token()).await?;
        Ok(issued.into())
    }

    /// Revokes the session token and all access tokens of the caller. Returns the number of tokens that were
    /// valid.
    ///
    /// Requires a session token, HTTP Basic credentials, or an access token with the scope `account:write`.
    async fn revoke_all_tokens(&self, ctx: &Context<'_>) -> Result<u32> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_own_tokens(caller)).await)
    }

    /// Creates an access token of the caller, for a device, a script or another service.
    ///
    /// Requires HTTP Basic credentials. `userErrors` can contain `TAKEN`, `BLANK`, `TOO_LONG`, `INVALID` and
    /// `LIMIT_REACHED`. A user can have at most 50 access tokens.
    async fn create_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new access token.")] input: CreateAccessTokenInput,
    ) -> Result<CreateAccessTokenPayload> {
        let (caller, services) = caller(ctx)?;
        let result = Box::pin(services.access_tokens.create(caller, input.into())).await;
        let (created, user_errors) = split(result)?;
        let (secret, access_token) = created.unzip();
        Ok(CreateAccessTokenPayload {
            token: secret.map(|secret| secret.reveal().to_owned()),
            access_token: access_token.map(Arc::new).map(AccessToken),
            user_errors,
        })
    }

    /// Revokes an access token of the caller. Returns true if the access token was valid, and false if it had
    /// already expired or been revoked, or if the caller has no access token with this ID.
    ///
    /// Requires a session token, HTTP Basic credentials, or an access token with the scope `account:write`.
    async fn revoke_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the access token.")] id: ID,
    ) -> Result<bool> {
        let (caller, services) = caller(ctx)?;
        // A non-numeric id becomes 0, which matches no access token.
        let id = parse_id(&id).unwrap_or(0);
        Ok(Box::pin(services.access_tokens.revoke_own(caller, id)).await?)
    }

    /// Changes the password of the caller. Revokes the session token and all access tokens, and returns a new
    /// session token.
    ///
    /// Requires a session token and the current password. `userErrors` can contain `WRONG_PASSWORD`, and the
    /// codes of `createUser` that concern passwords. After too many wrong passwords, the error is
    /// `RATE_LIMITED`.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The current and the new password.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let (_, services) = caller(ctx)?;
        let current = Input::new("currentPassword", input.current_password.as_str());
        let new = Input::new("newPassword", input.new_password.as_str());
        let changed = (services.users).change_password(authentication(ctx)?, current, new);
        let result = Box::pin(changed).await;
        let (issued, user_errors) = split(result)?;
        let token = issued.map(SessionToken::from);
        Ok(ChangePasswordPayload { token, user_errors })
    }

    /// Changes the username or the e-mail address of the caller, or, for admins, of any user.
    ///
    /// Requires HTTP Basic credentials, except for the caller's own username. To change that, a session token or
    /// an access token with the scope `account:write` is enough. Another user requires the role `ADMIN`.
    /// `userErrors` can contain `TAKEN`, `BLANK`, `TOO_LONG` and `INVALID`.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The changes.")] input: UpdateUserInput,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        let id = input.id.as_ref().map(user_id);
        UserPayload::new(Box::pin(services.users.update(caller, id, input.into())).await)
    }

    /// Deletes the caller, or, for admins, any user. Revokes all tokens of the deleted user.
    ///
    /// Requires a session token, HTTP Basic credentials, or an access token with the scope `account:write`.
    /// A caller who deletes their own user with a token must also give the password. Another user requires the
    /// role `ADMIN`. `userErrors` can contain `WRONG_PASSWORD`, `LAST_ADMIN` and `INVALID`.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to delete, and the password.")] input: DeleteUserInput,
    ) -> Result<DeleteUserPayload> {
        let (caller, services) = caller(ctx)?;
        let id = input.id.as_ref().map(user_id);
        let password = Input::new("password", input.password.as_deref().unwrap_or_default());
        let result = Box::pin(services.users.delete(caller, id, password)).await;
        let (deleted, user_errors) = split(result)?;
        let deleted_user_id = deleted.map(ID::from);
        Ok(DeleteUserPayload {
            deleted_user_id,
            user_errors,
        })
    }

    /// Changes the role of a user.
    ///
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `LAST_ADMIN` and `INVALID`.
    async fn set_user_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
        #[graphql(desc = "The new role.")] role: Role,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        let set_role = services.users.set_role(caller, user_id(&id), role.into());
        UserPayload::new(Box::pin(set_role).await)
    }

    /// Changes the password of another user, and revokes all tokens of that user.
    ///
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `INVALID`, and the codes of
    /// `createUser` that concern passwords. The caller's own ID causes the error `BAD_USER_INPUT`: use
    /// `changePassword`.
    async fn set_user_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user and the new password.")] input: SetUserPasswordInput,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        let (id, new) = (
            user_id(&input.id),
            Input::new("newPassword", input.new_password.as_str()),
        );
        UserPayload::new(Box::pin(services.users.set_password(caller, id, new)).await)
    }

    /// Disables a user and revokes all tokens of that user. A disabled user cannot sign in.
    ///
    /// Requires the role `ADMIN` and a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`. `userErrors` can contain `LAST_ADMIN` and `INVALID`.
    async fn disable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        UserPayload::new(Box::pin(services.users.disable(caller, user_id(&id))).await)
    }

    /// Enables a disabled user, who can then sign in again. Revoked tokens stay revoked.
    ///
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `INVALID`.
    async fn enable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        UserPayload::new(Box::pin(services.users.enable(caller, user_id(&id))).await)
    }

    /// Revokes the session token and all access tokens of a user. Returns the number of tokens that were valid.
    ///
    /// Requires the role `ADMIN` and a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`. An ID of no user causes the error `BAD_USER_INPUT`.
    async fn revoke_user_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<u32> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_tokens(caller, user_id(&id))).await)
    }
}

/// Returns errors in the input as `BAD_USER_INPUT`, for a mutation without `userErrors`.
fn without_payload<T>(result: Result<T, MutationError>) -> Result<T> {
    Ok(result.map_err(|error| match error {
        MutationError::Error(error) => error,
        MutationError::Fields(_) => Error::BadUserInput(error.to_string()),
    })?)
}

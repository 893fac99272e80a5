//! The mutations. Futures that wait for the database are boxed, because async-graphql resolves all fields of a
//! type in one future, which is as large as the future of the largest field.

use async_graphql::{Context, ID, Object, Result};

use crate::graphql::context::{caller, request};
use crate::graphql::mutation_inputs::{
    ChangePasswordInput, CreateUserInput, DeleteUserInput, InviteUserInput, SetUserPasswordInput,
    UpdateUserInput,
};
use crate::graphql::mutation_payloads::{
    ChangePasswordPayload, CreateUserPayload, DeleteUserPayload, InviteUserPayload,
    ResetLinkPayload, ResetPasswordPayload, UserPayload,
};
use crate::graphql::session_token::SessionToken;
use crate::graphql::token_mutation::TokenMutation;
use crate::graphql::user::{Role, User, user_id};
use crate::graphql::user_error::{split, without_payload};
use crate::service::named_input::NamedInput;

/// Symbolon's mutations, to be merged with the mutations of an application.
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject, Object};
///
/// #[derive(Default)]
/// struct Feedback;
///
/// #[Object]
/// impl Feedback {
///     async fn send_feedback(&self, text: String) -> usize {
///         text.len()
///     }
/// }
///
/// #[derive(MergedObject, Default)]
/// struct Mutation(symbolon::Mutation, Feedback);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # #[derive(async_graphql::MergedObject, Default)]
/// # struct Query(symbolon::Query);
/// let schema = symbolon.schema(Query::default(), Mutation::default(), EmptySubscription).finish();
/// assert!(schema.sdl().contains("sendFeedback(text: String!): Int!"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Symbolon's mutations.
#[Object(name = "SymbolonMutation")]
impl Mutation {
    /// Creates a user.
    ///
    /// If registration is open, requires no credentials. If registration is closed, requires the role
    /// `ADMIN`, and also one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`. If registration is closed, callers who are not admins get the error `FORBIDDEN`
    /// with the reason `REGISTRATION_CLOSED`.
    ///
    /// After too many registrations from one address, the error is `RATE_LIMITED`. `userErrors` can contain
    /// `TAKEN`, `BLANK`, `TOO_SHORT`, `TOO_LONG`, `INVALID`, `PASSWORD_TOO_COMMON` and
    /// `PASSWORD_CONTAINS_USERNAME`.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new user.")] input: CreateUserInput,
    ) -> Result<CreateUserPayload> {
        let (caller, services) = caller(ctx)?;
        let users = &services.users;
        let result = Box::pin(users.register(caller, &input.into(), Role::User.into())).await;
        let (user, user_errors) = split(result)?;
        let user = user.map(User::from);
        Ok(CreateUserPayload { user, user_errors })
    }

    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "resolvers are asynchronous")]
    async fn tokens(&self) -> TokenMutation {
        TokenMutation
    }

    /// Changes the password of the caller. Revokes all sessions, all access tokens and the unused one-time
    /// links of the caller, and returns a new token: for a session of the same device if the request is
    /// authenticated by a device session, and for the shared session otherwise.
    ///
    /// Requires a session token and the current password. `userErrors` can contain `WRONG_PASSWORD` and the
    /// password-related codes of `createUser`. After too many wrong passwords, the error is `RATE_LIMITED`.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The current and the new password.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let request = request(ctx)?;
        let current = NamedInput::new("currentPassword", input.current_password.as_str());
        let new = NamedInput::new("newPassword", input.new_password.as_str());
        let changed =
            (request.services.users).change_password(&request.authentication, current, new);
        let result = Box::pin(changed).await;
        let (issued, user_errors) = split(result)?;
        let token = issued.map(SessionToken::from);
        Ok(ChangePasswordPayload { token, user_errors })
    }

    /// Changes the username or the e-mail address of the caller. Admins can also change the username or the
    /// e-mail address of another user.
    ///
    /// To change their own username, callers need one of: a session token, HTTP Basic credentials, or an
    /// access token with the scope `account:write`. All other changes require HTTP Basic credentials. A
    /// change of another user also requires the role `ADMIN`. `userErrors` can contain `TAKEN`, `BLANK`,
    /// `TOO_LONG` and `INVALID`.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user and the changes.")] input: UpdateUserInput,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        let id = input.id.as_ref().map(user_id);
        UserPayload::new(Box::pin(services.users.update(caller, id, input.into())).await)
    }

    /// Deletes the caller, and revokes all tokens of the caller. Admins can also delete another user.
    ///
    /// Requires one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`. Callers who authenticate with a token and delete themselves must also send the
    /// password. The deletion of another user also requires the role `ADMIN`. `userErrors` can contain
    /// `WRONG_PASSWORD`, `LAST_ADMIN`, `IN_USE` and `INVALID`.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to delete, and the password.")] input: DeleteUserInput,
    ) -> Result<DeleteUserPayload> {
        let (caller, services) = caller(ctx)?;
        let id = input.id.as_ref().map(user_id);
        let password = NamedInput::new("password", input.password.as_deref().unwrap_or_default());
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
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `INVALID` and the
    /// password-related codes of `createUser`. The caller's own ID causes the error `BAD_USER_INPUT`,
    /// because callers change their own password with `changePassword`.
    async fn set_user_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user and the new password.")] input: SetUserPasswordInput,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        let id = user_id(&input.id);
        let new = NamedInput::new("newPassword", input.new_password.as_str());
        UserPayload::new(Box::pin(services.users.set_password(caller, id, new)).await)
    }

    /// Creates a link with which a user can replace a forgotten password. The last unused reset link of the
    /// user becomes invalid. By default, the link expires after 15 minutes.
    ///
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `INVALID`. If the server
    /// is not configured with its public URL, the error is `BAD_USER_INPUT`.
    async fn create_reset_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<ResetLinkPayload> {
        let (caller, services) = caller(ctx)?;
        let link = services.users.create_reset_link(caller, user_id(&id));
        ResetLinkPayload::new(Box::pin(link).await)
    }

    /// Creates a user without a password, and a link with which the user chooses the password. If the user
    /// has been invited before and has never had a password, only creates a new link, and the previous link
    /// becomes invalid. By default, the link expires after 7 days.
    ///
    /// Requires the role `ADMIN` and HTTP Basic credentials. `userErrors` can contain `TAKEN`, `BLANK`,
    /// `TOO_LONG` and `INVALID`. If the server is not configured with its public URL, the error is
    /// `BAD_USER_INPUT`.
    async fn invite_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to invite.")] input: InviteUserInput,
    ) -> Result<InviteUserPayload> {
        let (caller, services) = caller(ctx)?;
        let invitation = input.into();
        let invited = services.users.invite(caller, &invitation);
        InviteUserPayload::new(Box::pin(invited).await)
    }

    /// Sets a new password with the token of a one-time link. Revokes all tokens of the user, and does not
    /// sign in. Requires no credentials.
    ///
    /// `userErrors` can contain `INVALID` for a token that is unknown, used or expired, and the
    /// password-related codes of `createUser`. A refused password does not use up the token. After too many
    /// uses of links from one address, the error is `RATE_LIMITED`.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token of the link.")] token: String,
        #[graphql(desc = "The new password.")] new_password: String,
    ) -> Result<ResetPasswordPayload> {
        let request = request(ctx)?;
        let token = NamedInput::new("token", token.as_str());
        let new = NamedInput::new("newPassword", new_password.as_str());
        let reset = (request.services.users).reset_password(&request.authentication, token, new);
        ResetPasswordPayload::new(Box::pin(reset).await)
    }

    /// Disables a user, and revokes all tokens of that user. A disabled user cannot sign in.
    ///
    /// Requires the role `ADMIN`. Also requires one of: a session token, HTTP Basic credentials, or an
    /// access token with the scope `account:write`. `userErrors` can contain `LAST_ADMIN` and `INVALID`.
    async fn disable_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<UserPayload> {
        let (caller, services) = caller(ctx)?;
        UserPayload::new(Box::pin(services.users.disable(caller, user_id(&id))).await)
    }

    /// Enables a disabled user, so that the user can sign in again. Revoked tokens stay revoked.
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

    /// Revokes all sessions, all access tokens and the unused one-time links of a user. Returns the number of
    /// session tokens and access tokens that were still valid.
    ///
    /// Requires the role `ADMIN`. Also requires one of: a session token, HTTP Basic credentials, or an
    /// access token with the scope `account:write`. If no user has this ID, the error is `BAD_USER_INPUT`.
    async fn revoke_user_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: ID,
    ) -> Result<u32> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_tokens(caller, user_id(&id))).await)
    }
}

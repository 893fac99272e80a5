//! The mutations that issue, renew and revoke tokens.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};

use crate::graphql::access_token::AccessToken;
use crate::graphql::context::{authentication, caller};
use crate::graphql::mutation_inputs::CreateAccessTokenInput;
use crate::graphql::mutation_payloads::CreateAccessTokenPayload;
use crate::graphql::session_token::SessionToken;
use crate::graphql::user_error::{split, without_payload};
use crate::model::id_parsing::parse_id;
use crate::service::token_options::TokenRequest;

/// The label value of `createToken` in the metrics of sign-ins.
pub(crate) const ENDPOINT: &str = "createToken";

/// The mutations that issue, renew and revoke tokens, as a part of [`Mutation`](crate::Mutation).
pub(super) struct TokenMutation;

#[Object]
impl TokenMutation {
    /// Returns the current token of the shared session of the user if that token remains valid for more than
    /// 60 seconds. Otherwise, issues and returns a new token. A server can be configured to issue a new token
    /// every time. With the argument `device`, starts a separate session for one device, and returns its
    /// token.
    ///
    /// Requires HTTP Basic credentials ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)). Wrong
    /// credentials cause the error `UNAUTHENTICATED` with the reason `INVALID_CREDENTIALS`. After too many
    /// failed attempts, the error is `RATE_LIMITED`.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The lifetime of a new session token, in seconds, from 120 to 2592000 (30 days). \
                    The lifetime of an existing session token does not change."
        )]
        expires_in: Option<i32>,
        #[graphql(
            default_with = "Some(false)",
            desc = "Whether to revoke the current token of the shared session and issue a new one."
        )]
        fresh: Option<bool>,
        #[graphql(
            desc = "The name of the device for which a separate session is started: 1 to 64 characters. A user \
                    can have 50 device sessions. A further session replaces the oldest one."
        )]
        device: Option<String>,
    ) -> Result<SessionToken> {
        let fresh = fresh.unwrap_or_default();
        let requested = TokenRequest::parse(
            ENDPOINT,
            expires_in.map(i64::from),
            fresh,
            device.as_deref(),
        )?;
        let issued = Box::pin(authentication(ctx)?.create_token(requested)).await?;
        Ok(issued.into())
    }

    /// Revokes the session token or access token with which the request is authenticated. Returns true if
    /// the token was valid, and false if the token had already expired or if its session had already been
    /// revoked.
    ///
    /// A token that the server does not know causes the error `UNAUTHENTICATED` with the reason
    /// `TOKEN_INVALID`. The server does not know revoked access tokens.
    async fn revoke_token(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Box::pin(authentication(ctx)?.revoke_token()).await?)
    }

    /// Extends the session token with which the request is authenticated, so that the token is valid for a
    /// full lifetime from now. A renewal does not extend a session token beyond the maximum session age (30
    /// days by default) after the last sign-in.
    ///
    /// Requires a session token.
    async fn renew_token(&self, ctx: &Context<'_>) -> Result<SessionToken> {
        let issued = Box::pin(authentication(ctx)?.renew_token()).await?;
        Ok(issued.into())
    }

    /// Revokes a session of the caller. Returns true if the session was live. Returns false if the session had
    /// already ended, or if the caller has no session with this ID.
    ///
    /// Requires one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the session.")] id: ID,
    ) -> Result<bool> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_own_session(caller, &id)).await)
    }

    /// Revokes all sessions of the caller, except the session whose token authenticates the request. Access
    /// tokens are not revoked. Returns the number of sessions that were live.
    ///
    /// Requires one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`.
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<u32> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_other_sessions(caller)).await)
    }

    /// Revokes all sessions, all access tokens and the unused one-time links of the caller. Returns the number
    /// of session tokens and access tokens that were still valid.
    ///
    /// Requires one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`.
    async fn revoke_all_tokens(&self, ctx: &Context<'_>) -> Result<u32> {
        let (caller, services) = caller(ctx)?;
        without_payload(Box::pin(services.users.revoke_own_tokens(caller)).await)
    }

    /// Creates an access token for the caller, to be used by a device, a script or another service. A user
    /// can have at most 50 access tokens.
    ///
    /// Requires HTTP Basic credentials. `userErrors` can contain `TAKEN`, `BLANK`, `TOO_LONG`, `INVALID`
    /// and `LIMIT_REACHED`.
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

    /// Revokes an access token of the caller. Returns true if the access token was valid. Returns false if
    /// the access token had already expired or been revoked, or if the caller has no access token with this
    /// ID.
    ///
    /// Requires one of: a session token, HTTP Basic credentials, or an access token with the scope
    /// `account:write`.
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
}

//! Issues a session token to a request, and renews or revokes the token of a request.

use crate::error::Error;
use crate::model::actor::{Actor, Credential};
use crate::model::request_credentials::TokenType;
use crate::model::requirement::Requirement;
use crate::service::issued_token::IssuedToken;
use crate::service::request_authentication::Authentication;
use crate::service::revocation_steps::revoke_access_token;
use crate::service::token_options::TokenRequest;

impl Authentication {
    /// Issues a session token to a request with Basic credentials.
    pub(crate) async fn create_token(&self, requested: TokenRequest) -> Result<IssuedToken, Error> {
        // A client that sends an access token learns that it must send other credentials, not that credentials are
        // missing.
        let token = self.bearer();
        if token.is_ok_and(|token| token.token_type() == TokenType::AccessToken) {
            self.require(&Requirement::SESSION).await?;
        }
        let (record, issued) = self.sign_in(Some(requested.clone())).await?;
        if let Some(issued) = issued {
            return Ok(issued);
        }
        let sessions = &self.authenticator().sessions;
        sessions
            .issue_verified(&record, &requested.options, self.client())
            .await
    }

    /// Extends the expiration of the session token of the request.
    pub(crate) async fn renew_token(&self) -> Result<IssuedToken, Error> {
        self.require(&Requirement::SESSION).await?;
        let sessions = &self.authenticator().sessions;
        let (token, client) = (self.bearer()?, self.client());
        match token.token_type() {
            TokenType::DeviceSession => sessions.renew_device(token, client).await,
            TokenType::SharedSession | TokenType::AccessToken => {
                sessions.renew_shared(token, client).await
            }
        }
    }

    /// Revokes the Bearer token of the request. Returns whether the token was live.
    pub(crate) async fn revoke_token(&self) -> Result<bool, Error> {
        let (token, client) = (self.bearer()?, self.client());
        let authenticator = self.authenticator();
        match token.token_type() {
            TokenType::SharedSession => authenticator.sessions.revoke_shared(token, client).await,
            TokenType::DeviceSession => authenticator.sessions.revoke_device(token, client).await,
            TokenType::AccessToken => {
                let (user, token) = authenticator.access_tokens.find(token).await?;
                let user = user.id;
                let actor = Actor::user(user, Credential::AccessToken(token.id), client);
                let now = authenticator.clock.now();
                revoke_access_token(&authenticator.store, user, token.id, &actor, now).await
            }
        }
    }
}

//! Batch loading: one database query loads the rows for many fields of a request.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;

use crate::error::Error;
use crate::model::access_token::AccessToken;
use crate::model::session_summary::SessionSummary;
use crate::model::user::UserId;
use crate::service::Services;
use crate::service::request_authentication::Authentication;
use crate::service::visible_user::VisibleUser;

/// Loader of database rows. Each type of row has its own type of key.
pub(super) struct Rows {
    pub(super) services: Arc<Services>,
    /// The request, whose credentials determine the fields of users.
    pub(super) authentication: Authentication,
}

impl Loader<UserId> for Rows {
    type Value = VisibleUser;
    type Error = Error;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, VisibleUser>, Error> {
        let users = &self.services.users;
        users.with_ids(&self.authentication, keys).await
    }
}

/// The key for loading the sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionsOf(pub(super) UserId);

impl Loader<SessionsOf> for Rows {
    type Value = Vec<Arc<SessionSummary>>;
    type Error = Error;

    async fn load(&self, keys: &[SessionsOf]) -> Result<HashMap<SessionsOf, Self::Value>, Error> {
        let users: Vec<_> = keys.iter().map(|key| key.0).collect();
        let sessions = self.services.users.sessions(&users).await?.into_iter();
        Ok(sessions
            .map(|(user, sessions)| (SessionsOf(user), sessions))
            .collect())
    }
}

/// The key for loading the access tokens of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccessTokensOf(pub(super) UserId);

impl Loader<AccessTokensOf> for Rows {
    type Value = Vec<Arc<AccessToken>>;
    type Error = Error;

    async fn load(
        &self,
        keys: &[AccessTokensOf],
    ) -> Result<HashMap<AccessTokensOf, Self::Value>, Error> {
        let users: Vec<_> = keys.iter().map(|key| key.0).collect();
        let tokens = self.services.access_tokens.of(&users).await?;
        let tokens = tokens.into_iter();
        Ok(tokens
            .map(|(user, tokens)| (AccessTokensOf(user), tokens))
            .collect())
    }
}

//! Access tokens.

use std::sync::Arc;

use async_graphql::{ID, Object};

use crate::graphql::connection::list_complexity;
use crate::graphql::timestamp::Timestamp;
use crate::model::{access_token, text_limits};

/// An access token without its secret.
pub(crate) struct AccessToken(pub(super) Arc<access_token::AccessToken>);

/// A named, long-lived token. The token permits what its owner may do, restricted to the scopes of the
/// token. Only the result of `createAccessToken` contains the token itself.
#[Object]
impl AccessToken {
    /// The ID of the access token. IDs are never reused.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The name of the access token. No other access token of the user has this name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The scopes of the access token, at most 32. The scope `*` includes all scopes.
    #[graphql(complexity = "list_complexity(text_limits::SCOPES, child_complexity)")]
    async fn scopes(&self) -> &[String] {
        self.0.scopes.as_slice()
    }

    /// The time at which the access token was created.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at.into()
    }

    /// The time at which the access token expires. Null if the access token does not expire.
    async fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at.map(Timestamp)
    }

    /// The time at which the access token was last used, accurate to one minute. Null if the access token
    /// has never been used.
    async fn last_used_at(&self) -> Option<Timestamp> {
        self.0.last_used_at.map(Timestamp)
    }
}

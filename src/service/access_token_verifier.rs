//! Verifies access tokens.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::access_token::AccessToken;
use crate::model::identity::{AccessTokenGrant, Identity};
use crate::model::request_credentials::BearerToken;
use crate::model::token_secret::{SecretType, TokenSecret};
use crate::model::user::User;
use crate::service::identity_cache::VerifiedToken;
use crate::service::token_look_ups::TokenLookUps;
use crate::service::token_uses::{TokenUses, UsedToken};
use crate::store::Store;

/// Verifier of access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokenVerifier {
    look_ups: Arc<TokenLookUps<AccessToken>>,
    clock: Clock,
    uses: Arc<TokenUses>,
}

impl AccessTokenVerifier {
    pub(crate) fn new(store: Arc<Store>, clock: Clock, uses: Arc<TokenUses>) -> Self {
        let look_ups = TokenLookUps::new(store, |store, digests| {
            Box::pin(async move { store.find_access_tokens(&digests).await })
        });
        Self {
            look_ups,
            clock,
            uses,
        }
    }

    /// Verifies a token against the database, and records the use of the token.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<VerifiedToken, Error> {
        let (user, token) = self.find(token).await?;
        let now = self.clock.now();
        if !token.is_live_for(&user, now) {
            return Err(Unauthenticated::TokenExpired.into());
        }
        let used_token = UsedToken::Access(token.id);
        let next_recorded_use = self.uses.record(used_token, token.last_used_at, now);
        let access = AccessTokenGrant {
            id: token.id,
            scopes: token.scopes,
        };
        Ok(VerifiedToken {
            identity: Identity::from_access_token(user, token.expires_at, access),
            next_recorded_use,
        })
    }

    /// Returns whether the token has expired. Returns `false` if the user is disabled.
    pub(super) async fn ended_by_expiration(&self, token: &BearerToken) -> Result<bool, Error> {
        let (user, token) = self.find(token).await?;
        Ok(!user.is_disabled() && token.has_expired(self.clock.now()))
    }

    /// Looks up a token and its user.
    pub(super) async fn find(&self, token: &BearerToken) -> Result<(User, AccessToken), Error> {
        let invalid = Unauthenticated::TokenInvalid;
        let secret = TokenSecret::parse(SecretType::AccessToken, &token.0).ok_or(invalid)?;
        let found = self.look_ups.find(secret.digest()).await?;
        Ok(found.ok_or(invalid)?)
    }
}

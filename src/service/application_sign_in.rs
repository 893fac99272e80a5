//! Signs in users whom the embedding application has authenticated.

use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::client::Client;
use crate::model::sign_in_method::SignInMethod;
use crate::model::user::{User, UserId};
use crate::service::issued_token::IssuedToken;
use crate::service::sign_in::{SignIn, record_sign_in};
use crate::service::token_options::TokenRequest;

impl SignIn {
    /// Signs in a user whom the application has authenticated with `method`, and issues a session token. Fails if the
    /// user does not exist or is disabled.
    pub(super) async fn by_application(
        &self,
        user: UserId,
        method: SignInMethod,
        requested: TokenRequest,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        let endpoint = requested.endpoint;
        let issued = self.issue_to(user, method, requested, client).await;
        self.metrics.count(endpoint, issued.as_ref().err());
        issued
    }

    async fn issue_to(
        &self,
        user: UserId,
        method: SignInMethod,
        requested: TokenRequest,
        client: &Client,
    ) -> Result<IssuedToken, Error> {
        let mut transaction = self.store.begin().await?;
        let locked = transaction.lock_user(user).await?;
        let existing = locked.as_ref().map(|record| record.user.id);
        // The clock is read after the row has been locked, which can take a while.
        let now = self.clock.now();
        let record = match &locked {
            // Changes nothing if the user is disabled.
            Some(record) => transaction.record_sign_in(record, None, now).await?,
            None => None,
        };
        let (Some(before), Some(record)) = (locked, record) else {
            drop(transaction);
            let actor = Actor::Anonymous(client.clone());
            self.refused_attempts
                .record_failed_sign_in(existing, actor, now)
                .await?;
            return Err(Unauthenticated::InvalidCredentials.into());
        };
        let signing_in = User {
            last_sign_in_at: before.user.last_sign_in_at,
            ..record.user.clone()
        };
        self.hooks.before_sign_in(&transaction, &signing_in).await?;
        let actor = Actor::user(user, Credential::Application(method), client);
        record_sign_in(&mut transaction, user, &actor, now).await?;
        let issued = self
            .sessions
            .issue(&mut transaction, record, &requested.options, &actor, now)
            .await?;
        transaction.commit().await?;
        Ok(issued)
    }
}

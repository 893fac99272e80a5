//! Watch a token for as long as somebody relies on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::error::{Error, Unauthenticated};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::token::REUSE_MARGIN;
use crate::service::Services;
use crate::store::Listener;

/// How often the clock is looked at. It may be set, so nobody sleeps until an instant.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a token is relied on no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its time is over, or a sign-in in its last minute replaced it: its bearer is to come back with
    /// another one.
    Expired,
    /// It was revoked or replaced or never issued, or its user was disabled or deleted.
    Revoked,
    /// Its user has another role now: what was allowed is to be asked for anew.
    RoleChanged,
}

/// A token that was valid, and the news of all that may change that.
pub(crate) struct TokenWatch {
    services: Arc<Services>,
    token: BearerToken,
    identity: Arc<Identity>,
    changes: Listener,
}

impl TokenWatch {
    /// Begins with a token that is valid; otherwise says why it is not.
    pub(crate) async fn start(
        services: Arc<Services>,
        token: BearerToken,
    ) -> Result<Result<Self, Ended>, Error> {
        // Before the first look, or what happens in between would be missed.
        let changes = services.store.listen();
        let identity = match services.verify(&token).await {
            Ok(identity) => identity,
            Err(Error::Unauthenticated(_)) => {
                let expired = services.has_expired(&token).await;
                return Ok(Err(match expired {
                    Ok(true) => Ended::Expired,
                    Ok(false) | Err(Error::Unauthenticated(_)) => Ended::Revoked,
                    Err(error) => return Err(error),
                }));
            }
            Err(error) => return Err(error),
        };
        Ok(Ok(Self {
            services,
            token,
            identity,
            changes,
        }))
    }

    /// Waits until the token is relied on no longer, or nobody can say any more.
    pub(crate) async fn ended(mut self) -> Result<Ended, Error> {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changed = false;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.changes.changed() => changed = true,
            }
            // Known without asking, and true whatever became of the token since.
            if self.expires_within(chrono::TimeDelta::zero()) {
                return Ok(Ended::Expired);
            }
            if changed {
                match self.look().await {
                    Ok(None) => changed = false,
                    Ok(Some(ended)) => return Ok(ended),
                    // The next look asks again.
                    Err(Error::ServiceUnavailable { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Option<Ended>, Error> {
        let services = &self.services;
        match services.verify(&self.token).await {
            Ok(identity) if identity.user().role != self.identity.user().role => {
                Ok(Some(Ended::RoleChanged))
            }
            Ok(identity) => {
                self.identity = identity;
                Ok(None)
            }
            Err(Error::Unauthenticated(why)) => {
                let replaced = why == Unauthenticated::TokenInvalid;
                let expired = if replaced {
                    self.expires_within(REUSE_MARGIN)
                } else {
                    services.has_expired(&self.token).await?
                };
                Ok(Some(if expired {
                    Ended::Expired
                } else {
                    Ended::Revoked
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn expires_within(&self, time: chrono::TimeDelta) -> bool {
        let now = self.services.clock.now();
        let expires_at = self.identity.expires_at();
        expires_at.is_some_and(|expires_at| expires_at - now <= time)
    }
}

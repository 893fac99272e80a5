//! Watch the token of a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::BootClock;
use crate::error::{Error, Unauthenticated};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::token::REUSE_MARGIN;
use crate::service::Services;
use crate::store::{Listener, NOTIFICATION_BOUND};

/// How often the clock is read. It may be set, so that no timer can wait for an instant of it.
const TICK: Duration = Duration::from_millis(100);

/// After this time without a confirmation the watch ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// When a token was last known to be valid.
#[derive(Clone, Debug)]
pub(crate) struct Confirmation {
    /// In microseconds of the boot clock.
    last: watch::Receiver<u64>,
}

impl Confirmation {
    /// Waits until the token has been confirmed recently enough.
    pub(crate) async fn wait(&mut self) {
        while !is_recent(*self.last.borrow_and_update(), NOTIFICATION_BOUND) {
            if self.last.changed().await.is_err() {
                // The watch has ended, and the socket with it.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn is_recent(micros: u64, limit: Duration) -> bool {
    let age = BootClock::System.micros().saturating_sub(micros);
    Duration::from_micros(age) <= limit
}

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

/// A token that was valid, and the changes that may end it.
pub(crate) struct TokenWatch {
    services: Arc<Services>,
    token: BearerToken,
    identity: Arc<Identity>,
    changes: Listener,
    confirmed: watch::Sender<u64>,
}

impl TokenWatch {
    /// Begins with a token that is valid; otherwise says why it is not.
    pub(crate) async fn start(
        services: Arc<Services>,
        token: BearerToken,
    ) -> Result<Result<Self, Ended>, Error> {
        // Before the first look, or what happens in between would be missed.
        let changes = services.store.listen();
        let now = BootClock::System.micros();
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
            confirmed: watch::Sender::new(now),
        }))
    }

    /// When the token was last known to be valid, from now on.
    pub(crate) fn confirmation(&self) -> Confirmation {
        Confirmation {
            last: self.confirmed.subscribe(),
        }
    }

    /// Waits until the token is no longer valid, or cannot be confirmed for several seconds.
    pub(crate) async fn ended(mut self) -> Result<Ended, Error> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changed = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.changes.changed() => changed = true,
            }
            // This needs no look at the database.
            if self.expires_within(chrono::TimeDelta::zero()) {
                return Ok(Ended::Expired);
            }
            let now = BootClock::System.micros();
            if changed {
                match self.look().await {
                    Ok(None) => {
                        changed = false;
                        self.confirmed.send_replace(now);
                    }
                    Ok(Some(ended)) => return Ok(ended),
                    // The next tick tries again.
                    Err(Error::ServiceUnavailable { .. }) => {}
                    Err(error) => return Err(error),
                }
            } else if let Some(age) = self.services.store.heard_age() {
                let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
                self.confirmed.send_replace(now.saturating_sub(age));
            }
            if !is_recent(*self.confirmed.borrow(), GIVE_UP_AFTER) {
                return Err(Error::ServiceUnavailable { retry_after: 1 });
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn events_wait_until_the_token_is_confirmed() {
        let micros = |age: u64| BootClock::System.micros().saturating_sub(age * 1000);
        let confirmed = watch::Sender::new(micros(1000));
        let mut confirmation = Confirmation {
            last: confirmed.subscribe(),
        };
        assert!(confirmation.wait().now_or_never().is_some());
        confirmed.send_replace(micros(2000));
        assert!(confirmation.wait().now_or_never().is_none());
        confirmed.send_replace(micros(0));
        assert!(confirmation.wait().now_or_never().is_some());
        confirmed.send_replace(micros(2000));
        drop(confirmed);
        assert!(confirmation.wait().now_or_never().is_none());
    }
}

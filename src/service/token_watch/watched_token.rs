//! One token that sockets have: when it was confirmed, and when it has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::TokenEnd;
use crate::clock::BootClock;
use crate::error::{Error, Unauthenticated};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::session::REUSE_MARGIN;
use crate::model::user::{Role, UserId};
use crate::service::Services;
use crate::store::Epoch;

/// The shortest time between two look-ups of one token.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The same while notifications of PostgreSQL do not arrive, so that each token is looked up without a
/// known change.
const UNNOTIFIED_LOOK_EVERY: Duration = Duration::from_millis(500);

/// After this time without a confirmation the watch ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// A point in time at which a token was known to be valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmed {
    /// In microseconds of the boot clock.
    pub(super) at: u64,
    /// The epoch before the token was last looked up.
    pub(super) since: Epoch,
}

pub(super) fn is_recent(micros: u64, limit: Duration) -> bool {
    let age = BootClock::System.micros().saturating_sub(micros);
    Duration::from_micros(age) <= limit
}

/// A token that at least one socket has.
pub(super) struct Watched {
    pub(super) token: BearerToken,
    pub(super) user: UserId,
    pub(super) role: Role,
    state: Mutex<State>,
    pub(super) confirmed: watch::Sender<Confirmed>,
    /// Set once, when the token is relied on no longer.
    pub(super) ended: watch::Sender<Option<Result<TokenEnd, Error>>>,
}

struct State {
    identity: Arc<Identity>,
    is_looking: bool,
    /// The begin of the last look-up, in microseconds of the boot clock.
    looked_at: u64,
}

impl Watched {
    /// A token that was found to be valid.
    pub(super) fn new(token: BearerToken, identity: Arc<Identity>, confirmed: Confirmed) -> Self {
        Self {
            user: identity.user().id,
            role: identity.user().role,
            state: Mutex::new(State {
                identity,
                is_looking: false,
                looked_at: confirmed.at,
            }),
            confirmed: watch::Sender::new(confirmed),
            ended: watch::Sender::new(None),
            token,
        }
    }

    /// Ends the watch if time has ended the token, and confirms the token if nothing has changed. Returns
    /// whether the database decides.
    pub(super) fn is_to_be_looked_up(&self, services: &Services) -> bool {
        if self.ended.borrow().is_some() {
            return false;
        }
        if self.expires_within(services, chrono::TimeDelta::zero()) {
            self.end(Ok(TokenEnd::Expired));
            return false;
        }
        let now = BootClock::System.micros();
        let last = *self.confirmed.borrow();
        let heard = services.store.change_counter_age();
        let is_changed = !services.store.is_unchanged_since(last.since, self.user);
        if !is_changed && let Some(age) = heard {
            let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            let at = now.saturating_sub(age);
            self.confirmed
                .send_modify(|confirmed| confirmed.at = confirmed.at.max(at));
        }
        if !is_recent(self.confirmed.borrow().at, GIVE_UP_AFTER) {
            self.end(Err(Error::ServiceUnavailable { retry_after: 1 }));
            return false;
        }
        let pace = if heard.is_some() {
            LOOK_EVERY
        } else {
            UNNOTIFIED_LOOK_EVERY
        };
        let mut state = self.state();
        let is_due = is_changed && !state.is_looking && !is_recent(state.looked_at, pace);
        state.is_looking |= is_due;
        is_due
    }

    /// Looks the token up, and ends the watch if it is no longer valid.
    pub(super) async fn look_up(&self, services: &Services) {
        let confirmed = Confirmed {
            at: BootClock::System.micros(),
            since: services.store.epoch(),
        };
        self.state().looked_at = confirmed.at;
        match self.look(services).await {
            Ok(None) => {
                self.confirmed.send_replace(confirmed);
            }
            Ok(Some(ended)) => self.end(Ok(ended)),
            // The next round tries again.
            Err(Error::ServiceUnavailable { .. }) => {}
            Err(error) => self.end(Err(error)),
        }
        self.state().is_looking = false;
    }

    async fn look(&self, services: &Services) -> Result<Option<TokenEnd>, Error> {
        match services.verify(&self.token).await {
            Ok(identity) if identity.user().role != self.role => Ok(Some(TokenEnd::RoleChanged)),
            Ok(identity) => {
                self.state().identity = identity;
                Ok(None)
            }
            Err(Error::Unauthenticated(why)) => {
                let replaced = why == Unauthenticated::TokenInvalid;
                let expired = if replaced {
                    self.expires_within(services, REUSE_MARGIN)
                } else {
                    services.has_expired(&self.token).await?
                };
                Ok(Some(if expired {
                    TokenEnd::Expired
                } else {
                    TokenEnd::Revoked
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn end(&self, ended: Result<TokenEnd, Error>) {
        self.ended.send_replace(Some(ended));
    }

    fn expires_within(&self, services: &Services, time: chrono::TimeDelta) -> bool {
        let expires_at = self.state().identity.expires_at();
        expires_at.is_some_and(|expires_at| expires_at - services.clock.now() <= time)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

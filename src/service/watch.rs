//! Watch the tokens of sockets. A token is looked up once after a change of its account, however many
//! sockets have it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock::BootClock;
use crate::error::{Error, Unauthenticated};
use crate::model::credentials::BearerToken;
use crate::model::identity::Identity;
use crate::model::token::{REUSE_MARGIN, TokenDigest};
use crate::model::user::{Role, UserId};
use crate::service::Services;
use crate::store::{Epoch, NOTIFICATION_BOUND};

/// How often the clock is read. It may be set, so that no timer can wait for an instant of it.
const TICK: Duration = Duration::from_millis(100);

/// Changes within this time are noticed together.
const PAUSE: Duration = Duration::from_millis(10);

/// The shortest time between two look-ups of one token.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The same while notifications of PostgreSQL do not arrive, so that each token is looked up without a
/// known change.
const UNNOTIFIED_LOOK_EVERY: Duration = Duration::from_millis(500);

/// Look-ups at once. A change that may concern all accounts leaves the database to requests as well.
const LOOK_UPS: usize = 8;

/// After this time without a confirmation the watch ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// A point in time at which a token was known to be valid.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    /// In microseconds of the boot clock.
    at: u64,
    /// The epoch before the token was last looked up.
    since: Epoch,
}

/// Whether a token was known to be valid recently.
#[derive(Clone)]
pub(crate) struct Confirmation {
    user: UserId,
    last: watch::Receiver<Confirmed>,
}

impl Confirmation {
    /// Waits until the token has been confirmed recently enough, and after every change of its account
    /// that this process knows.
    pub(crate) async fn wait(&mut self, services: &Services) {
        let user = self.user;
        let is_unchanged = |since| services.store.is_unchanged_since(since, user);
        self.wait_for(is_unchanged).await;
    }

    async fn wait_for(&mut self, is_unchanged: impl Fn(Epoch) -> bool) {
        loop {
            let Confirmed { at, since } = *self.last.borrow_and_update();
            if is_recent(at, NOTIFICATION_BOUND) && is_unchanged(since) {
                return;
            }
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

/// A token that at least one socket has.
struct Watched {
    token: BearerToken,
    user: UserId,
    role: Role,
    state: Mutex<State>,
    confirmed: watch::Sender<Confirmed>,
    /// Set once, when the token is relied on no longer.
    ended: watch::Sender<Option<Result<Ended, Error>>>,
}

struct State {
    identity: Arc<Identity>,
    is_looking: bool,
    /// The begin of the last look-up, in microseconds of the boot clock.
    looked_at: u64,
}

/// The tokens of all sockets. One task watches them while there are any.
#[derive(Debug, Default)]
pub(crate) struct TokenWatches(Mutex<Tokens>);

#[derive(Default)]
struct Tokens {
    watched: HashMap<TokenDigest, Weak<Watched>>,
    has_task: bool,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.watched.len())
    }
}

/// The token of one socket.
pub(crate) struct TokenWatch(Arc<Watched>);

impl TokenWatch {
    /// Begins with a token that is valid; otherwise says why it is not.
    pub(crate) async fn start(
        services: Arc<Services>,
        token: BearerToken,
    ) -> Result<Result<Self, Ended>, Error> {
        // Before the look-up: a change in between makes another one necessary.
        let confirmed = Confirmed {
            at: BootClock::System.micros(),
            since: services.store.epoch(),
        };
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
        let watched = Watched {
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
        };
        Ok(Ok(Self(TokenWatches::add(&services, watched))))
    }

    /// The account of the token.
    pub(crate) fn user(&self) -> UserId {
        self.0.user
    }

    /// When the token was last known to be valid, from now on.
    pub(crate) fn confirmation(&self) -> Confirmation {
        Confirmation {
            user: self.0.user,
            last: self.0.confirmed.subscribe(),
        }
    }

    /// Waits until the token is no longer valid, or cannot be confirmed for several seconds.
    pub(crate) async fn ended(self) -> Result<Ended, Error> {
        let mut ended = self.0.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(Error::internal("the watch of a token has ended")))
    }
}

impl TokenWatches {
    /// Adds a token, unless a socket has it already.
    fn add(services: &Arc<Services>, new: Watched) -> Arc<Watched> {
        let mut tokens = services.token_watches.tokens();
        let entry = tokens.watched.entry(TokenDigest::of(&new.token.0));
        let entry = entry.or_default();
        let known = entry.upgrade().filter(|known| {
            // With another role it is about to end.
            known.ended.borrow().is_none() && known.role == new.role
        });
        let watched = known.unwrap_or_else(|| {
            let new = Arc::new(new);
            *entry = Arc::downgrade(&new);
            new
        });
        if !tokens.has_task {
            tokens.has_task = true;
            tokio::spawn(keep_watching(Arc::clone(services)));
        }
        watched
    }

    /// The tokens that sockets have. Without any, the task is to end.
    fn watched(&self) -> Vec<Arc<Watched>> {
        let mut tokens = self.tokens();
        let mut found = Vec::with_capacity(tokens.watched.len());
        tokens.watched.retain(|_, watched| {
            let watched = watched.upgrade();
            let is_watched = watched.is_some();
            found.extend(watched);
            is_watched
        });
        tokens.has_task = !found.is_empty();
        found
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the tokens of sockets while there are any, also after a panic: without the task no socket would
/// end with its token.
async fn keep_watching(services: Arc<Services>) {
    while AssertUnwindSafe(watch_all(&services))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!("the task that watches the tokens of sockets panicked and is restarted");
        sleep(TICK).await;
    }
}

async fn watch_all(services: &Arc<Services>) {
    let mut changes = services.store.listen();
    let look_ups = Arc::new(Semaphore::new(LOOK_UPS));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changes.changed() => {}
        }
        let watched = services.token_watches.watched();
        if watched.is_empty() {
            return;
        }
        for watched in watched {
            if watched.is_to_be_looked_up(services) {
                let (services, look_ups) = (Arc::clone(services), Arc::clone(&look_ups));
                tokio::spawn(async move {
                    let _one_of_few = look_ups.acquire().await;
                    watched.look_up(&services).await;
                });
            }
        }
        sleep(PAUSE).await;
    }
}

impl Watched {
    /// Ends the watch if time has ended the token, and confirms the token if nothing has changed. Returns
    /// whether the database decides.
    fn is_to_be_looked_up(&self, services: &Services) -> bool {
        if self.ended.borrow().is_some() {
            return false;
        }
        if self.expires_within(services, chrono::TimeDelta::zero()) {
            self.end(Ok(Ended::Expired));
            return false;
        }
        let now = BootClock::System.micros();
        let last = *self.confirmed.borrow();
        let heard = services.store.heard_age();
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
    async fn look_up(&self, services: &Services) {
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

    async fn look(&self, services: &Services) -> Result<Option<Ended>, Error> {
        match services.verify(&self.token).await {
            Ok(identity) if identity.user().role != self.role => Ok(Some(Ended::RoleChanged)),
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
                    Ended::Expired
                } else {
                    Ended::Revoked
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn end(&self, ended: Result<Ended, Error>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_until_the_token_is_confirmed() {
        let confirmed = |age: u64| Confirmed {
            at: BootClock::System.micros().saturating_sub(age * 1000),
            since: Epoch::default(),
        };
        let last = watch::Sender::new(confirmed(1000));
        let mut confirmation = Confirmation {
            user: UserId(1),
            last: last.subscribe(),
        };
        let mut is_ready = |unchanged| {
            confirmation
                .wait_for(|_| unchanged)
                .now_or_never()
                .is_some()
        };
        assert!(is_ready(true));
        assert!(!is_ready(false));
        last.send_replace(confirmed(2000));
        assert!(!is_ready(true));
        last.send_replace(confirmed(0));
        assert!(is_ready(true));
        last.send_replace(confirmed(2000));
        drop(last);
        assert!(!is_ready(true));
    }
}

//! Watch the tokens of sockets. A token is looked up once after a change of its account, however many
//! sockets have it.

mod watched_token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::watched_token::{Confirmed, Watched, is_recent};
use crate::background::supervise;
use crate::clock::BootClock;
use crate::error::Error;
use crate::model::credentials::BearerToken;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::service::Services;
use crate::store::{Epoch, NOTIFICATION_BOUND};

/// How often the clock is read. It may be set, so that no timer can wait for an instant of it.
const TICK: Duration = Duration::from_millis(100);

/// Changes within this time are noticed together.
const PAUSE: Duration = Duration::from_millis(10);

/// Look-ups at once. A change that may concern all accounts leaves the database to requests as well.
const LOOK_UPS: usize = 8;

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

/// Why a token is relied on no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEnd {
    /// Its time is over, or a sign-in in its last minute replaced it: its bearer is to come back with
    /// another one.
    Expired,
    /// It was revoked or replaced or never issued, or its user was disabled or deleted.
    Revoked,
    /// Its user has another role now: what was allowed is to be asked for anew.
    RoleChanged,
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
    ) -> Result<Result<Self, TokenEnd>, Error> {
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
                    Ok(true) => TokenEnd::Expired,
                    Ok(false) | Err(Error::Unauthenticated(_)) => TokenEnd::Revoked,
                    Err(error) => return Err(error),
                }));
            }
            Err(error) => return Err(error),
        };
        let watched = Watched::new(token, identity, confirmed);
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
    pub(crate) async fn ended(self) -> Result<TokenEnd, Error> {
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
            let services = Arc::clone(services);
            let watch = move || watch_all(Arc::clone(&services));
            // Without the task no socket would end with its token.
            tokio::spawn(supervise("watch the tokens of sockets", watch));
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

/// Watches the tokens of sockets while there are any.
async fn watch_all(services: Arc<Services>) {
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
            if watched.is_to_be_looked_up(&services) {
                let (services, look_ups) = (Arc::clone(&services), Arc::clone(&look_ups));
                tokio::spawn(async move {
                    let _one_of_few = look_ups.acquire().await;
                    watched.look_up(&services).await;
                });
            }
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

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

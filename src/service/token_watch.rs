//! Watches the tokens of WebSocket connections. When a user changes, each watched token of the user is verified once,
//! for all connections that use the token.

mod watched_token;

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(crate) use self::watched_token::TokenEnd;
use self::watched_token::{Verification, WatchedToken, is_recent};
use crate::error::Error;
use crate::model::request_credentials::BearerToken;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::service::authenticator::Authenticator;
use crate::store::{Epoch, MAX_NOTIFICATION_DELAY};
use crate::supervised_tasks::supervise;

/// The interval between checks for expired tokens. There is no timer for each expiration, because the timer
/// would be wrong after the clock is set.
const TICK: Duration = Duration::from_millis(100);

/// The pause after each check of all tokens. Changes during the pause are handled together.
const PAUSE: Duration = Duration::from_millis(10);

/// The maximum number of concurrent verifications. The limit leaves database connections for requests when a
/// change affects many users.
const MAX_VERIFICATIONS: usize = 8;

/// A receiver of confirmations that a token is still valid.
#[derive(Clone)]
pub(crate) struct Confirmation {
    authenticator: Arc<Authenticator>,
    user: UserId,
    last: watch::Receiver<Verification>,
}

impl Confirmation {
    /// Waits until the last confirmation of the token is recent, and is later than every known change of the
    /// user.
    pub(crate) async fn wait(&mut self) {
        let store = &self.authenticator.store;
        let user = self.user;
        wait_for_confirmation(&mut self.last, |epoch| {
            store.is_unchanged_since(epoch, user)
        })
        .await;
    }
}

async fn wait_for_confirmation(
    last: &mut watch::Receiver<Verification>,
    is_unchanged: impl Fn(Epoch) -> bool,
) {
    loop {
        let Verification { at, epoch, .. } = *last.borrow_and_update();
        if is_recent(at, MAX_NOTIFICATION_DELAY) && is_unchanged(epoch) {
            return;
        }
        if last.changed().await.is_err() {
            // The watch has ended. The WebSocket is about to be closed.
            pending::<()>().await;
        }
    }
}

/// Watches the token of one WebSocket, and reports when the token ends.
pub(crate) struct TokenWatch {
    authenticator: Arc<Authenticator>,
    token: Arc<WatchedToken>,
}

impl TokenWatch {
    /// Returns the user of the token.
    pub(crate) fn user(&self) -> UserId {
        self.token.user
    }

    /// Returns a receiver for confirmations of the token.
    pub(crate) fn confirmation(&self) -> Confirmation {
        Confirmation {
            authenticator: Arc::clone(&self.authenticator),
            user: self.token.user,
            last: self.token.verified.subscribe(),
        }
    }

    /// Waits until the token is no longer valid, and returns the reason. Returns an error if the token cannot
    /// be verified for several seconds.
    pub(crate) async fn ended(self) -> Result<TokenEnd, Error> {
        let mut end = self.token.end.subscribe();
        let end = end.wait_for(Option::is_some).await;
        let end = end.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| Err(Error::internal("the watch of a token has ended")))
    }
}

/// The tokens of all WebSocket connections. One task watches these tokens while there is at least one token.
#[derive(Debug)]
pub(crate) struct TokenWatches {
    authenticator: Arc<Authenticator>,
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    watched: HashMap<TokenDigest, Weak<WatchedToken>>,
    has_task: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.watched.len())
    }
}

impl TokenWatches {
    pub(crate) fn new(authenticator: Arc<Authenticator>) -> Arc<Self> {
        Arc::new(Self {
            authenticator,
            tokens: Mutex::default(),
        })
    }

    /// Verifies a token, and starts to watch it. Returns a [`TokenEnd`] if the token is not valid.
    pub(crate) async fn start(
        self: &Arc<Self>,
        token: BearerToken,
    ) -> Result<Result<TokenWatch, TokenEnd>, Error> {
        // The epoch is read before the verification, so that a change during the verification causes a new
        // verification.
        let verification = Verification::now(&self.authenticator);
        let authenticator = Arc::clone(&self.authenticator);
        let identity = match authenticator.verify(&token).await {
            Ok(identity) => identity,
            Err(Error::Unauthenticated(_)) => {
                return match authenticator.ended_by_expiration(&token).await {
                    Ok(true) => Ok(Err(TokenEnd::Expired)),
                    Ok(false) | Err(Error::Unauthenticated(_)) => Ok(Err(TokenEnd::Revoked)),
                    Err(error) => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        let token = self.add(WatchedToken::new(token, &identity, verification));
        Ok(Ok(TokenWatch {
            authenticator,
            token,
        }))
    }

    /// Adds a token. If the token is already watched, returns the existing entry instead.
    fn add(self: &Arc<Self>, new: WatchedToken) -> Arc<WatchedToken> {
        let mut tokens = self.lock();
        let entry = tokens.watched.entry(TokenDigest::new(&new.token.0));
        let entry = entry.or_default();
        let existing = entry.upgrade().filter(|existing| {
            // A watch with a previous role of the user is about to end.
            existing.end.borrow().is_none() && existing.role == new.role
        });
        let token = existing.unwrap_or_else(|| {
            let new = Arc::new(new);
            *entry = Arc::downgrade(&new);
            new
        });
        if !tokens.has_task {
            tokens.has_task = true;
            let watches = Arc::clone(self);
            let watch = move || watch_all(Arc::clone(&watches));
            // Without this task, WebSockets would stay open after their tokens end. Therefore, the task is restarted
            // after a panic.
            tokio::spawn(supervise("watch the tokens of sockets", watch));
        }
        token
    }

    /// Returns the tokens that connections use. If the result is empty, the task must end, because
    /// [`Self::add`] starts a new task.
    fn watched(&self) -> Vec<Arc<WatchedToken>> {
        let mut tokens = self.lock();
        tokens.watched.retain(|_, token| token.strong_count() > 0);
        let watched = tokens.watched.values().filter_map(Weak::upgrade);
        let watched: Vec<_> = watched.collect();
        tokens.has_task = !watched.is_empty();
        watched
    }

    fn lock(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the tokens of all WebSocket connections, until there are none.
async fn watch_all(watches: Arc<TokenWatches>) {
    let mut changes = watches.authenticator.store.subscribe_to_changes();
    let permits = Arc::new(Semaphore::new(MAX_VERIFICATIONS));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changes.changed() => {}
        }
        let tokens = watches.watched();
        if tokens.is_empty() {
            return;
        }
        for token in tokens {
            let authenticator = Arc::clone(&watches.authenticator);
            if token.begin_verification(&authenticator) {
                let permits = Arc::clone(&permits);
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    token.verify(&authenticator).await;
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
    use crate::clock::BootClock;
    use chrono::DateTime;

    #[test]
    fn events_wait_until_the_token_is_confirmed() {
        let verified = |age: u64| Verification {
            at: BootClock::System.micros().saturating_sub(age * 1000),
            epoch: Epoch::default(),
            time: DateTime::UNIX_EPOCH,
        };
        let last = watch::Sender::new(verified(1000));
        let mut receiver = last.subscribe();
        let mut is_ready = |unchanged| {
            wait_for_confirmation(&mut receiver, |_| unchanged)
                .now_or_never()
                .is_some()
        };
        assert!(is_ready(true));
        assert!(!is_ready(false));
        last.send_replace(verified(2000));
        assert!(!is_ready(true));
        last.send_replace(verified(0));
        assert!(is_ready(true));
        last.send_replace(verified(2000));
        drop(last);
        assert!(!is_ready(true));
    }
}

//! One watched token: its last verification and its end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::clock::BootClock;
use crate::error::{Error, Unauthenticated};
use crate::model::identity::Identity;
use crate::model::request_credentials::BearerToken;
use crate::model::shared_session::REUSE_MARGIN;
use crate::model::user::{Role, UserId};
use crate::service::authenticator::Authenticator;
use crate::store::Epoch;

/// The minimum time between two verifications of one token.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The minimum time between two verifications of one token while notifications from PostgreSQL do not arrive.
/// During this time, every token is verified repeatedly, because changes are not known.
const MIN_INTERVAL_UNNOTIFIED: Duration = Duration::from_millis(500);

/// The time without a successful verification after which the watch ends.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a token is no longer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEnd {
    /// The token has expired, or a sign-in replaced the token during its last minute. The client can reconnect
    /// with a new token.
    Expired,
    /// The token was revoked, replaced or never issued, or its user was disabled or deleted.
    Revoked,
    /// The role of the user changed. The client can reconnect with the new role.
    RoleChanged,
}

/// The moment of a verification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verification {
    /// The time of the verification, in microseconds of the boot clock.
    pub(super) at: u64,
    /// The epoch that was current before the verification.
    pub(super) epoch: Epoch,
    /// The time of the verification by the clock that decides about expirations.
    pub(super) time: DateTime<Utc>,
}

impl Verification {
    pub(super) fn now(authenticator: &Authenticator) -> Self {
        Self {
            at: BootClock::System.micros(),
            epoch: authenticator.store.epoch(),
            time: authenticator.clock.now(),
        }
    }
}

/// Returns whether `micros`, an instant of the boot clock in microseconds, is at most `limit` ago.
pub(super) fn is_recent(micros: u64, limit: Duration) -> bool {
    let age = BootClock::System.micros().saturating_sub(micros);
    Duration::from_micros(age) <= limit
}

/// A token that at least one WebSocket uses.
pub(super) struct WatchedToken {
    pub(super) token: BearerToken,
    pub(super) user: UserId,
    pub(super) role: Role,
    state: Mutex<State>,
    /// The last successful verification.
    pub(super) verified: watch::Sender<Verification>,
    /// The reason for the end of the watch. `None` while the token is valid. Set once.
    pub(super) end: watch::Sender<Option<Result<TokenEnd, Error>>>,
}

struct State {
    expires_at: Option<DateTime<Utc>>,
    is_verifying: bool,
    /// The start of the last verification, in microseconds of the boot clock.
    started_at: u64,
}

impl WatchedToken {
    /// Creates the watch of a valid token.
    pub(super) fn new(token: BearerToken, identity: &Identity, verification: Verification) -> Self {
        Self {
            user: identity.user().id,
            role: identity.user().role,
            state: Mutex::new(State {
                expires_at: identity.expires_at(),
                is_verifying: false,
                started_at: verification.at,
            }),
            verified: watch::Sender::new(verification),
            end: watch::Sender::new(None),
            token,
        }
    }

    /// Ends the watch if the token has expired. Confirms the token if its user has not changed. Returns whether
    /// the caller must call [`Self::verify`].
    pub(super) fn begin_verification(&self, authenticator: &Authenticator) -> bool {
        if self.end.borrow().is_some() {
            return false;
        }
        if self.expires_within(authenticator, TimeDelta::zero()) {
            self.set_end(Ok(TokenEnd::Expired));
            return false;
        }
        let Verification { epoch, time, .. } = *self.verified.borrow();
        // The boot clock is read first, so that the recorded time of the check is never too late.
        let now = BootClock::System.micros();
        let changes_age = authenticator.store.invalidation_age();
        // If the clock was set back, the token is verified against the database, like a cached identity.
        let is_changed = !authenticator.store.is_unchanged_since(epoch, self.user)
            || authenticator.clock.now() < time;
        if !is_changed && let Some(age) = changes_age {
            let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            let at = now.saturating_sub(age);
            self.verified
                .send_modify(|verified| verified.at = verified.at.max(at));
        }
        if !is_recent(self.verified.borrow().at, VERIFICATION_TIMEOUT) {
            self.set_end(Err(Error::ServiceUnavailable { retry_after: 1 }));
            return false;
        }
        let min_interval = match changes_age {
            Some(_) => MIN_INTERVAL,
            None => MIN_INTERVAL_UNNOTIFIED,
        };
        let mut state = self.state();
        let begins =
            is_changed && !state.is_verifying && !is_recent(state.started_at, min_interval);
        state.is_verifying |= begins;
        begins
    }

    /// Verifies the token, and ends the watch if the token is no longer valid.
    pub(super) async fn verify(&self, authenticator: &Authenticator) {
        let verification = Verification::now(authenticator);
        self.state().started_at = verification.at;
        match self.find_end(authenticator).await {
            Ok(None) => {
                self.verified.send_replace(verification);
            }
            Ok(Some(end)) => self.set_end(Ok(end)),
            // The next check of all tokens tries again.
            Err(Error::ServiceUnavailable { .. }) => {}
            Err(error) => self.set_end(Err(error)),
        }
        self.state().is_verifying = false;
    }

    /// Verifies the token. Returns the reason if the token is no longer valid, and `None` otherwise.
    async fn find_end(&self, authenticator: &Authenticator) -> Result<Option<TokenEnd>, Error> {
        let reason = match authenticator.verify(&self.token).await {
            Ok(identity) if identity.user().role != self.role => {
                return Ok(Some(TokenEnd::RoleChanged));
            }
            Ok(identity) => {
                self.state().expires_at = identity.expires_at();
                return Ok(None);
            }
            Err(Error::Unauthenticated(reason)) => reason,
            Err(error) => return Err(error),
        };
        let has_expired = if reason == Unauthenticated::TokenInvalid {
            // The database no longer contains the token. Usually, a sign-in has replaced the token.
            self.expires_within(authenticator, REUSE_MARGIN)
        } else {
            authenticator.ended_by_expiration(&self.token).await?
        };
        Ok(Some(if has_expired {
            TokenEnd::Expired
        } else {
            TokenEnd::Revoked
        }))
    }

    fn set_end(&self, end: Result<TokenEnd, Error>) {
        self.end.send_replace(Some(end));
    }

    fn expires_within(&self, authenticator: &Authenticator, time: TimeDelta) -> bool {
        let expires_at = self.state().expires_at;
        expires_at.is_some_and(|expires_at| expires_at - authenticator.clock.now() <= time)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

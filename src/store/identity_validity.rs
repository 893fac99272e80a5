//! The validity of cached identities.

use std::time::Duration;

use crate::model::user::UserId;
use crate::store::database::Store;
use crate::store::invalidation::{ChangeListener, Epoch};

impl Store {
    /// Returns the current epoch. An identity that is read from the database after this call can be cached with this
    /// epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.invalidation.epoch()
    }

    /// Invalidates the cached identities of users that other processes changed before this call. Returns `false` if
    /// changes may be unknown. In this case, the cache must not be used.
    pub(crate) async fn refresh_invalidation(&self) -> bool {
        self.invalidation.refresh().await
    }

    /// Returns whether no cached identity of the user has been invalidated since `epoch`. Changes by other processes
    /// are included only after a call of [`Store::refresh_invalidation`].
    pub(crate) fn is_unchanged_since(&self, epoch: Epoch, user: UserId) -> bool {
        self.invalidation.is_unchanged_since(epoch, user)
    }

    /// Invalidates the cached identities of a user.
    pub(crate) fn invalidate(&self, user: UserId) {
        self.invalidation.invalidate_user(user);
    }

    /// Returns the maximum time until a change by another process is known.
    pub(crate) fn max_invalidation_delay(&self) -> Duration {
        self.invalidation.max_delay()
    }

    /// Returns the time since all changes by other processes were last known. The result is valid only while a
    /// [`ChangeListener`] exists. Returns `None` if notifications may be lost.
    pub(crate) fn invalidation_age(&self) -> Option<Duration> {
        self.invalidation.age()
    }

    /// Returns a listener for all changes from now on.
    pub(crate) fn subscribe_to_changes(&self) -> ChangeListener {
        self.invalidation.listen()
    }
}

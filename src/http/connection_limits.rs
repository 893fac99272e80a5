//! Limits on the number of connections and WebSockets, so that one client cannot use all connections.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;

use crate::config::HttpConfig;
use crate::model::user::UserId;

/// The number of file descriptors that are reserved for the database, the log and the listeners.
const RESERVED_FILES: u64 = 64;
/// One address can use at most 1/4 of all connections. All clients behind an untrusted proxy share one
/// address.
const ADDRESS_SHARE: usize = 4;
/// The WebSockets of one address can use at most 1/8 of all connections, which is half of the share of
/// the address. The other half remains for requests.
const ADDRESS_SOCKET_SHARE: usize = 8;
/// The WebSockets of one user can use at most 1/16 of all connections, from any number of addresses.
const USER_SOCKET_SHARE: usize = 16;

/// The limits on the number of WebSockets of each address and of each user.
#[derive(Debug)]
pub(super) struct SocketLimits {
    pub(super) per_address: Arc<KeyedSemaphore<IpAddr>>,
    pub(super) per_user: Arc<KeyedSemaphore<UserId>>,
}

impl SocketLimits {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let connections = max_connections(config);
        Self {
            per_address: KeyedSemaphore::new(connections / ADDRESS_SOCKET_SHARE),
            per_user: KeyedSemaphore::new(connections / USER_SOCKET_SHARE),
        }
    }
}

/// Returns the maximum number of connections. This is the configured number, or a lower number if the
/// limit on open files is lower.
pub(super) fn max_connections(config: &HttpConfig) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
    config
        .max_connections
        .min(files)
        .clamp(1, Semaphore::MAX_PERMITS)
}

/// Creates the limit on the number of connections of each address.
pub(super) fn connections_per_address(config: &HttpConfig) -> Arc<KeyedSemaphore<IpAddr>> {
    KeyedSemaphore::new(max_connections(config) / ADDRESS_SHARE)
}

/// A semaphore that has a fixed number of permits for each key.
#[derive(Debug)]
pub(super) struct KeyedSemaphore<K> {
    permits_per_key: usize,
    /// The number of permits in use for each key. A key without permits in use has no entry.
    in_use: Mutex<HashMap<K, usize>>,
}

/// A permit. Dropping the permit returns it to the semaphore.
#[derive(Debug)]
pub(super) struct KeyedPermit<K: Eq + Hash> {
    semaphore: Arc<KeyedSemaphore<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash> KeyedSemaphore<K> {
    /// Creates a semaphore with `permits_per_key` permits for each key, but at least one.
    fn new(permits_per_key: usize) -> Arc<Self> {
        Arc::new(Self {
            permits_per_key: permits_per_key.max(1),
            in_use: Mutex::default(),
        })
    }

    /// Returns a permit for `key`, or `None` if all permits for `key` are in use.
    pub(super) fn try_acquire(self: &Arc<Self>, key: K) -> Option<KeyedPermit<K>> {
        let mut in_use = self.in_use();
        let count = in_use.entry(key).or_default();
        if *count == self.permits_per_key {
            return None;
        }
        *count += 1;
        Some(KeyedPermit {
            semaphore: Arc::clone(self),
            key,
        })
    }
}

impl<K> KeyedSemaphore<K> {
    fn in_use(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut in_use = self.semaphore.in_use();
        if let Some(count) = in_use.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_permits_in_use_takes_no_memory() {
        let semaphore = KeyedSemaphore::new(2);
        let permits = [1, 1, 2].map(|key| semaphore.try_acquire(key));
        assert!(permits.iter().all(Option::is_some));
        assert!(semaphore.try_acquire(1).is_none());
        drop(permits);
        assert!(semaphore.in_use().is_empty());
    }
}

//! Limits on connections, sockets and memory, so that one client cannot take them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::HttpConfig;
use crate::model::audit_event::Client;
use crate::model::user::UserId;

/// Files that are kept free for everything but connections.
const RESERVED_FILES: u64 = 64;
/// The part of all connections that one address may hold. Behind a proxy that is not trusted all clients
/// have one address.
const CONNECTIONS_OF_ADDRESS: usize = 4;
/// The part of all connections that the sockets of one address may hold: half its connections, so that
/// the others remain for requests.
const SOCKETS_OF_ADDRESS: usize = 8;
/// The part of all connections that the sockets of one account may hold, from any number of addresses.
const SOCKETS_OF_ACCOUNT: usize = 16;
/// Memory for requests and messages that have not arrived completely, in KiB: a thousand of the default
/// size.
const INCOMPLETE_KIB: usize = 64 * 1024;
/// With a larger limit on bodies there is memory for so many.
const LEAST_BODIES: usize = 16;
/// An incomplete request or message of this size needs no memory of the budget: a small request can be
/// sent while the budget is used up.
pub(super) const FREE_BYTES: usize = 4096;

/// Limits that the sockets and incomplete requests of one application share.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(super) sockets_of_address: Arc<Shares<IpAddr>>,
    pub(super) sockets_of_account: Arc<Shares<UserId>>,
    pub(super) incomplete: Budget,
}

impl Capacity {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let most = most_connections(config);
        Self {
            sockets_of_address: Shares::new(most / SOCKETS_OF_ADDRESS),
            sockets_of_account: Shares::new(most / SOCKETS_OF_ACCOUNT),
            incomplete: Budget::new(config.body_limit),
        }
    }
}

/// The number of connections at once: as configured, and as the limit on open files allows.
pub(super) fn most_connections(config: &HttpConfig) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
    config
        .max_connections
        .min(files)
        .clamp(1, Semaphore::MAX_PERMITS)
}

/// The connections that each address may hold.
pub(super) fn connections_of_address(config: &HttpConfig) -> Arc<Shares<IpAddr>> {
    Shares::new(most_connections(config) / CONNECTIONS_OF_ADDRESS)
}

/// The key by which addresses are counted.
pub(super) fn network(address: IpAddr) -> IpAddr {
    let origin = Client {
        address: Some(address),
        request_id: None,
    };
    origin.network().unwrap_or(address)
}

/// Counts what each holder has, up to the same limit for each.
#[derive(Debug)]
pub(super) struct Shares<K> {
    most: usize,
    held: Mutex<HashMap<K, usize>>,
}

/// One of the things that a holder has, until it is dropped.
#[derive(Debug)]
pub(super) struct Share<K: Eq + Hash> {
    shares: Arc<Shares<K>>,
    holder: K,
}

impl<K: Copy + Eq + Hash> Shares<K> {
    /// Each holder may have one at least.
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            held: Mutex::default(),
        })
    }

    /// Takes one more, if the holder may have it.
    pub(super) fn take(self: &Arc<Self>, holder: K) -> Option<Share<K>> {
        let mut held = self.held();
        let count = held.entry(holder).or_default();
        if *count == self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            shares: Arc::clone(self),
            holder,
        })
    }
}

impl<K> Shares<K> {
    fn held(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

/// Memory for requests and messages that have not arrived completely, across all connections.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    /// In KiB.
    left: Arc<Semaphore>,
}

/// The memory of one request or message, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Reserved(Option<OwnedSemaphorePermit>);

impl Budget {
    fn new(body_limit: usize) -> Self {
        let bodies = LEAST_BODIES.saturating_mul(body_limit.div_ceil(1024));
        let kib = INCOMPLETE_KIB.max(bodies).min(Semaphore::MAX_PERMITS);
        Self {
            left: Arc::new(Semaphore::new(kib)),
        }
    }

    /// Lets `reserved` grow to so many bytes. Returns whether there is memory left for that.
    pub(super) fn reserve(&self, reserved: &mut Reserved, bytes: usize) -> bool {
        let held = reserved
            .0
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = bytes.saturating_sub(FREE_BYTES).div_ceil(1024);
        let more = needed.saturating_sub(held);
        if more == 0 {
            return true;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.left).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut reserved.0 {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_at_most_its_share_and_no_entry_without_one() {
        let shares = Shares::new(2);
        let first = shares.take(1);
        let second = shares.take(1);
        assert!(first.is_some() && second.is_some());
        assert!(shares.take(1).is_none());
        let other = shares.take(2);
        assert!(other.is_some());
        drop(first);
        assert!(shares.take(1).is_some());
        drop((second, other));
        assert!(shares.held().is_empty());
    }

    #[test]
    fn the_budget_counts_what_is_above_a_small_request() {
        let budget = Budget::new(65536);
        let mut all = Reserved::default();
        assert!(budget.reserve(&mut all, INCOMPLETE_KIB * 1024 + FREE_BYTES));
        let mut other = Reserved::default();
        assert!(budget.reserve(&mut other, FREE_BYTES));
        assert!(!budget.reserve(&mut other, FREE_BYTES + 1));
        drop(all);
        assert!(budget.reserve(&mut other, FREE_BYTES + 1));
    }
}

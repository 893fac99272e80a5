//! A limit on the memory for requests and messages that have not been received completely.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The size of the budget, in KiB. The budget is sufficient for 1,024 requests of the default maximum
/// size.
const BUDGET_KIB: usize = 64 * 1024;
/// The minimum size of the budget, as a number of request bodies of the configured maximum size.
const MIN_BODIES: usize = 16;
/// The number of bytes at the start of each request or message that are not counted. Small requests are
/// therefore accepted even while the budget is used up. The limits on connections bound the number of
/// small requests.
pub(super) const UNCOUNTED_BYTES: usize = 4096;

/// The memory budget for the incomplete requests and messages of all connections.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget {
    /// One permit for each free KiB.
    free: Arc<Semaphore>,
}

impl MemoryBudget {
    pub(super) fn new(body_limit: usize) -> Self {
        let bodies = MIN_BODIES.saturating_mul(body_limit.div_ceil(1024));
        let kib = BUDGET_KIB.max(bodies).min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(kib)),
        }
    }

    /// Creates a reservation of 0 bytes.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            permits: None,
        }
    }
}

/// The memory that is reserved for one request or message. Dropping the reservation returns the memory
/// to the budget.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: MemoryBudget,
    permits: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Grows the reservation to `bytes`. Returns `false`, and changes nothing, if the budget has too little
    /// free memory.
    pub(super) fn try_grow(&mut self, bytes: usize) -> bool {
        let permits = self.permits.as_ref();
        let reserved = permits.map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = bytes.saturating_sub(UNCOUNTED_BYTES).div_ceil(1024);
        let missing = needed.saturating_sub(reserved);
        if missing == 0 {
            return true;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let free = Arc::clone(&self.budget.free);
        let Ok(added) = free.try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut self.permits {
            Some(permits) => permits.merge(added),
            none => *none = Some(added),
        }
        true
    }

    /// Returns the reserved memory to the budget.
    pub(super) fn release(&mut self) {
        self.permits = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_above_a_small_request_are_counted() {
        let budget = MemoryBudget::new(65536);
        let mut large = budget.reservation();
        assert!(large.try_grow(BUDGET_KIB * 1024 + UNCOUNTED_BYTES));
        let mut small = budget.reservation();
        assert!(small.try_grow(UNCOUNTED_BYTES));
        assert!(!small.try_grow(UNCOUNTED_BYTES + 1));
        large.release();
        assert!(small.try_grow(UNCOUNTED_BYTES + 1));
    }
}

//! Models of the invalidation of cached identities, checked exhaustively by the crate `stateright`.
//!
//! A model describes the protocol, not the code: a change of the protocol must be made in both. Each
//! model has one test of the whole protocol, and one test per part of it that shows that the checker
//! finds a violation once the part is removed.

mod change_counter_invalidation;
mod notification_invalidation;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

/// One step of one actor, and the state that it leads to.
#[derive(Clone, PartialEq)]
struct Step<S> {
    actor: &'static str,
    action: &'static str,
    next: S,
}

impl<S> fmt::Debug for Step<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.actor, self.action)
    }
}

/// An epoch: the position of an invalidation in the order of all invalidations of a process.
type Epoch = u8;

/// The cache of one process with one token in it, and the epochs that decide whether the entry is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Cache {
    last_epoch: Epoch,
    account_epoch: Epoch,
    all_epoch: Epoch,
    /// The epoch that the entry was read in, if there is an entry.
    entry: Option<Epoch>,
}

impl Cache {
    fn invalidate_account(&mut self) {
        self.last_epoch += 1;
        self.account_epoch = self.last_epoch;
    }

    fn invalidate_all(&mut self) {
        self.last_epoch += 1;
        self.all_epoch = self.last_epoch;
    }

    fn has_valid_entry(self) -> bool {
        self.entry
            .is_some_and(|since| since >= self.account_epoch.max(self.all_epoch))
    }

    /// Renumbers the epochs without gaps. Only their order matters. Without gaps, the number of states
    /// is finite for any number of invalidations.
    fn renumber(&mut self, mut since: [Option<&mut Epoch>; 2]) {
        // One bit per epoch that occurs.
        let mut occurring = 1 << self.last_epoch | 1 << self.account_epoch | 1 << self.all_epoch;
        for epoch in self
            .entry
            .iter()
            .chain(since.iter().flatten().map(|epoch| &**epoch))
        {
            occurring |= 1 << *epoch;
        }
        let renumber = |epoch: &mut Epoch| {
            let smaller: u32 = occurring & ((1 << *epoch) - 1);
            *epoch = Epoch::try_from(smaller.count_ones()).unwrap();
        };
        renumber(&mut self.last_epoch);
        renumber(&mut self.account_epoch);
        renumber(&mut self.all_epoch);
        self.entry.iter_mut().for_each(renumber);
        for epoch in since.iter_mut().flatten() {
            renumber(epoch);
        }
    }
}

/// Visits all states, depth first. Fails the test on any violation, and if a state that the model
/// expects sometimes is not reached. Visits one of the states that are equal once they are `sorted`.
fn holds<M>(model: M, sorted: fn(&M::State) -> M::State)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + Send + Sync + PartialEq,
    M::Action: Clone + fmt::Debug + Send + Sync + PartialEq,
{
    let began = Instant::now();
    let checker = model
        .checker()
        .threads(2)
        .symmetry_fn(sorted)
        .spawn_dfs()
        .join();
    println!(
        "{} states, {} transitions, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    checker.assert_properties();
}

/// Visits states, breadth first, until one violates the property, and prints a shortest path to it.
fn finds<M>(model: &M, property: &'static str)
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + Send + Sync + PartialEq,
    M::Action: Clone + fmt::Debug + Send + Sync + PartialEq,
{
    let began = Instant::now();
    let path = shortest(model, property);
    assert!(path.is_some(), "no violation found: {property}");
    let path = path.unwrap_or_default();
    println!(
        "{:?}, {} steps: {}",
        began.elapsed(),
        path.len(),
        steps(&path)
    );
}

fn shortest<M>(model: &M, property: &'static str) -> Option<Vec<M::Action>>
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + Send + Sync + PartialEq,
    M::Action: Clone + fmt::Debug + Send + Sync + PartialEq,
{
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model
        .clone()
        .checker()
        .finish_when(wanted.clone())
        .spawn_bfs()
        .join();
    let mut found = checker.discovery(property)?.into_actions();
    // The checker stops at the end of a block of states, with the last violation in it.
    loop {
        let checker = model
            .clone()
            .checker()
            .finish_when(wanted.clone())
            .target_max_depth(found.len() + 1)
            .spawn_bfs()
            .join();
        match checker.discovery(property) {
            Some(path) => found = path.into_actions(),
            None => return Some(found),
        }
    }
}

fn steps(actions: &[impl fmt::Debug]) -> String {
    let steps = actions.iter().map(|action| format!("{action:?}"));
    steps.collect::<Vec<_>>().join("; ")
}

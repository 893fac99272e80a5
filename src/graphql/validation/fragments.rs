//! Rules about the relations between fragments: no fragment spreads itself, and each is used.

use std::collections::{HashMap, HashSet};

use crate::graphql::syntax::ast::{Document, Fragment, Selection, SelectionSet, Spread};
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    pub(super) fn check_fragments(&mut self, document: &'d Document<'d>) {
        let mut search = CycleSearch::default();
        for fragment in &document.fragments {
            self.find_cycles(fragment, &mut search);
        }
        let operations = document.operations.iter();
        let roots = operations.map(|operation| &operation.selections);
        let used = self.reachable_fragments(roots);
        for fragment in &document.fragments {
            let name = fragment.name.text;
            if !used.contains(name) {
                let message = format!("The fragment \"{name}\" is never used.");
                self.report([fragment.position], message);
            }
        }
    }

    /// Returns the names of the fragments that the selections use, directly or through other fragments.
    pub(super) fn reachable_fragments(
        &self,
        sets: impl Iterator<Item = &'d SelectionSet<'d>>,
    ) -> HashSet<&'d str> {
        let mut sets: Vec<_> = sets.collect();
        let mut reachable = HashSet::new();
        while let Some(set) = sets.pop() {
            for spread in spreads(set) {
                let name = spread.name.text;
                if reachable.insert(name)
                    && let Some(fragment) = self.fragments.get(name)
                {
                    sets.push(&fragment.selections);
                }
            }
        }
        reachable
    }

    /// Reports the cycles that a depth-first search from a fragment finds.
    fn find_cycles(&mut self, fragment: &'d Fragment<'d>, search: &mut CycleSearch<'d>) {
        let name = fragment.name.text;
        if !search.visited.insert(name) {
            return;
        }
        search.depths.insert(name, search.path.len());
        for spread in spreads(&fragment.selections) {
            let target = spread.name.text;
            search.path.push(spread);
            if let Some(depth) = search.depths.get(target) {
                let cycle = search.path.iter().skip(*depth);
                let positions: Vec<_> = cycle.map(|spread| spread.position).collect();
                self.report(
                    positions,
                    format!("The fragment \"{target}\" spreads itself. Remove the cycle."),
                );
            } else if let Some(fragment) = self.fragments.get(target) {
                self.find_cycles(fragment, search);
            }
            search.path.pop();
        }
        search.depths.remove(name);
    }
}

#[derive(Default)]
struct CycleSearch<'d> {
    visited: HashSet<&'d str>,
    /// The spreads that lead to the current fragment.
    path: Vec<&'d Spread<'d>>,
    /// The length of the path at which each fragment on the path begins.
    depths: HashMap<&'d str, usize>,
}

/// Returns the spreads in a selection set at any depth, in the order of graphql-js.
fn spreads<'d>(set: &'d SelectionSet<'d>) -> Vec<&'d Spread<'d>> {
    let mut sets = vec![set];
    let mut spreads = Vec::new();
    while let Some(set) = sets.pop() {
        for selection in &set.items {
            match selection {
                Selection::Spread(spread) => spreads.push(spread),
                Selection::Field(field) => sets.extend(&field.selections),
                Selection::Inline(inline) => sets.push(&inline.selections),
            }
        }
    }
    spreads
}

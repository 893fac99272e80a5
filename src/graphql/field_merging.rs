//! Merges the fields of a validated operation that have the same response key
//! ([GraphQL specification, section 6.3.2](https://spec.graphql.org/September2025/#sec-Field-Collection)).
//!
//! async-graphql resolves each of these fields and merges the results. A mutation would be executed several times.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{Directive, OperationType, Selection, SelectionSet};

use crate::error::Error;

/// Merges the fields of each selection set of an operation.
///
/// # Errors
///
/// Returns [`Error::GraphqlValidationFailed`] if root fields of a mutation with one response key cannot be merged,
/// because they have different directives.
pub(super) fn merge_fields(ty: OperationType, root: &mut SelectionSet) -> Result<(), Error> {
    merge(root);
    if ty == OperationType::Mutation {
        let mut keys = Vec::new();
        collect_keys(root, &mut keys);
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < count {
            let message = "A field of the mutation is selected several times with different directives. \
                           Select the field once, or use aliases.";
            return Err(Error::GraphqlValidationFailed(message.to_owned()));
        }
    }
    Ok(())
}

/// Merges fields with the same response key and the same directives. Validation has checked that these fields have the
/// same name and arguments.
fn merge(set: &mut SelectionSet) {
    let mut merged: Vec<Positioned<Selection>> = Vec::with_capacity(set.items.len());
    let mut indices: HashMap<String, Vec<usize>> = HashMap::new();
    for mut item in std::mem::take(&mut set.items) {
        if let Selection::Field(field) = &mut item.node {
            let key = field.node.response_key().node.to_string();
            let indices = indices.entry(key).or_default();
            let equal = indices.iter().copied().find(|index| {
                let other = merged[*index].node.directives();
                has_equal_directives(other, &field.node.directives)
            });
            if let Some(index) = equal
                && let Selection::Field(first) = &mut merged[index].node
            {
                let items = std::mem::take(&mut field.node.selection_set.node.items);
                first.node.selection_set.node.items.extend(items);
                continue;
            }
            indices.push(merged.len());
        }
        merged.push(item);
    }
    set.items = merged;
    for item in &mut set.items {
        match &mut item.node {
            Selection::Field(field) => merge(&mut field.node.selection_set.node),
            Selection::InlineFragment(inline) => merge(&mut inline.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn has_equal_directives(left: &[Positioned<Directive>], right: &[Positioned<Directive>]) -> bool {
    left.len() == right.len()
        && (left.iter().zip(right)).all(|(left, right)| {
            let (left, right) = (&left.node, &right.node);
            left.name == right.name && left.arguments == right.arguments
        })
}

/// Adds the response keys of the fields of a selection set, including those in fragments. `__typename` changes nothing and
/// can be resolved several times.
fn collect_keys(set: &SelectionSet, keys: &mut Vec<String>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) if field.node.name.node == "__typename" => {}
            Selection::Field(field) => keys.push(field.node.response_key().node.to_string()),
            Selection::InlineFragment(inline) => {
                collect_keys(&inline.node.selection_set.node, keys);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

//! The fields of a selection set, and the comparison of two fields.

use std::collections::HashMap;

use async_graphql::registry::{MetaType, Registry};

use crate::error::Position;
use crate::graphql::syntax::ast::{Argument, Field, Selection, SelectionSet, Value, ValueKind};
use crate::graphql::validation::types::{FieldDefinition, item, named};

/// The maximum number of positions in each of the two groups of a conflict, as in graphql-js.
const MAX_POSITIONS: usize = 20;

/// Fields that cannot be merged.
pub(super) struct Conflict<'d> {
    pub(super) name: &'d str,
    pub(super) reason: String,
    pub(super) one: Vec<Position>,
    pub(super) other: Vec<Position>,
}

pub(super) type Conflicts<'d> = Vec<Conflict<'d>>;

/// A field with its context.
#[derive(Clone, Copy)]
pub(super) struct Selected<'d> {
    pub(super) parent: Option<&'d MetaType>,
    pub(super) field: &'d Field<'d>,
    pub(super) definition: Option<FieldDefinition<'d>>,
}

/// The fields of a selection set without those of its fragments.
#[derive(Default)]
pub(super) struct Collected<'d> {
    /// The fields by their names in the response.
    pub(super) fields: Vec<(&'d str, Vec<Selected<'d>>)>,
    pub(super) indices: HashMap<&'d str, usize>,
    pub(super) fragments: Vec<&'d str>,
}

impl<'d> Collected<'d> {
    pub(super) fn add(
        &mut self,
        registry: &'d Registry,
        parent: Option<&'d MetaType>,
        set: &'d SelectionSet<'d>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    let name = field.response_name();
                    let index = *self.indices.entry(name).or_insert_with(|| {
                        self.fields.push((name, Vec::new()));
                        self.fields.len() - 1
                    });
                    // As in graphql-js, `__typename` has no definition here.
                    let definition = parent
                        .filter(|_| !field.name.text.starts_with("__"))
                        .and_then(|parent| FieldDefinition::of(parent, field.name.text));
                    self.fields[index].1.push(Selected {
                        parent,
                        field,
                        definition,
                    });
                }
                Selection::Spread(spread) => {
                    if !self.fragments.contains(&spread.name.text) {
                        self.fragments.push(spread.name.text);
                    }
                }
                Selection::Inline(inline) => {
                    let parent = match inline.on {
                        Some(on) => named(registry, on.text),
                        None => parent,
                    };
                    self.add(registry, parent, &inline.selections);
                }
            }
        }
    }
}

/// Returns whether values of the two types have different forms in the response.
pub(super) fn do_types_conflict(registry: &Registry, one: &str, other: &str) -> bool {
    if one.ends_with('!') != other.ends_with('!') {
        return true;
    }
    match (item(one), item(other)) {
        (Some(one), Some(other)) => do_types_conflict(registry, one, other),
        (None, None) => {
            let is_leaf = |ty| named(registry, ty).is_some_and(MetaType::is_leaf);
            (is_leaf(one) || is_leaf(other)) && one != other
        }
        _ => true,
    }
}

/// Returns whether two lists of arguments are equal, and adds the number of compared values to
/// `comparisons`.
pub(super) fn are_equal_arguments(
    one: &[Argument<'_>],
    other: &[Argument<'_>],
    comparisons: &mut usize,
) -> bool {
    let find = |name: &str| other.iter().rfind(|argument| argument.name.text == name);
    one.len() == other.len()
        && one.iter().all(|argument| {
            let other = find(argument.name.text);
            other.is_some_and(|other| are_equal(&argument.value, &other.value, comparisons))
        })
}

fn are_equal(one: &Value<'_>, other: &Value<'_>, comparisons: &mut usize) -> bool {
    *comparisons += 1;
    match (&one.kind, &other.kind) {
        (ValueKind::Variable(one), ValueKind::Variable(other))
        | (ValueKind::Int(one), ValueKind::Int(other))
        | (ValueKind::Float(one), ValueKind::Float(other))
        | (ValueKind::Enum(one), ValueKind::Enum(other)) => one == other,
        (ValueKind::String(one), ValueKind::String(other)) => one == other,
        (ValueKind::Boolean(one), ValueKind::Boolean(other)) => one == other,
        (ValueKind::Null, ValueKind::Null) => true,
        (ValueKind::List(one), ValueKind::List(other)) => {
            one.len() == other.len()
                && (one.iter().zip(other)).all(|(one, other)| are_equal(one, other, comparisons))
        }
        (ValueKind::Object(one), ValueKind::Object(other)) => {
            are_equal_arguments(one, other, comparisons)
        }
        _ => false,
    }
}

/// Returns one conflict between two fields for the conflicts between their selections.
pub(super) fn merge<'d>(
    nested: Conflicts<'d>,
    name: &'d str,
    one: &Field<'d>,
    other: &Field<'d>,
) -> Option<Conflict<'d>> {
    let first = nested.first()?;
    let mut conflict = Conflict {
        name,
        reason: format!("the fields \"{}\" below them conflict", first.name),
        one: vec![one.position],
        other: vec![other.position],
    };
    for Conflict { one, other, .. } in nested {
        conflict.one.extend(one);
        conflict.other.extend(other);
    }
    conflict.one.truncate(MAX_POSITIONS);
    conflict.other.truncate(MAX_POSITIONS);
    Some(conflict)
}

//! The representations of entities of Apollo Federation in operations.

use async_graphql::parser::types::{Selection, SelectionSet};
use async_graphql::{Positioned, Value, Variables};
use async_graphql_value::Value as DocumentValue;

/// The field that async-graphql adds to the query root for entities. It returns an entity for each representation in its
/// argument.
pub(super) const ENTITIES: &str = "_entities";

/// Returns the number of representations in the fields [`ENTITIES`] at the root of a query.
pub(super) fn count(root: &SelectionSet, variables: &Variables) -> usize {
    let count = |selection: &Positioned<Selection>| match &selection.node {
        Selection::Field(field) if field.node.name.node == ENTITIES => {
            let argument = field.node.get_argument("representations");
            match argument.map(|argument| &argument.node) {
                Some(DocumentValue::List(items)) => items.len(),
                Some(DocumentValue::Variable(name)) => match variables.get(name) {
                    Some(Value::List(items)) => items.len(),
                    _ => 1,
                },
                _ => 1,
            }
        }
        Selection::InlineFragment(inline) => count(&inline.node.selection_set.node, variables),
        Selection::Field(_) | Selection::FragmentSpread(_) => 0,
    };
    root.items.iter().map(count).sum()
}

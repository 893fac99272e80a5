//! Limits on operations. An operation is checked before its fragments are expanded, because nested fragments can multiply
//! the number of selections exponentially.

use std::collections::HashMap;

use apollo_compiler::ast::{
    Argument, DirectiveList, FragmentDefinition, OperationDefinition, Selection, Value,
};
use apollo_compiler::{Name, Node};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document_limits::check_limit;

/// The fragments of a document by their names.
pub(super) type Fragments<'a> = HashMap<&'a Name, &'a Node<FragmentDefinition>>;

/// The properties of an operation that is within the limits.
pub(super) struct OperationCost {
    /// The number of aliases that can multiply the size of the response, but that the complexity does not
    /// include. Fragments are expanded.
    pub(super) multiplying_aliases: usize,
    /// The number of selections and directives.
    selections: usize,
    /// The number of values in arguments. A fragment counts once.
    values: usize,
    /// The length of the text that the expansion of fragments adds to the document, in bytes.
    pub(super) added_text: usize,
}

/// Checks the operations of a document as if their fragments were expanded. Returns the cost of each operation. The limit
/// on selections applies to all operations together, because all are validated. The values in a fragment are validated for
/// each operation that uses the fragment, so the limit on tokens applies to their number.
pub(super) fn check_operations(
    fragments: &Fragments<'_>,
    operations: &[&Node<OperationDefinition>],
    limits: &Limits,
) -> Result<Vec<OperationCost>, Error> {
    let mut costs = Vec::with_capacity(operations.len());
    let (mut selections, mut values) = (0_usize, 0_usize);
    for operation in operations {
        let cost = check_operation(fragments, operation, limits)?;
        selections = selections.saturating_add(cost.selections);
        check_limit("selections", selections, limits.selections)?;
        values = values.saturating_add(cost.values);
        check_limit("tokens", values, limits.tokens)?;
        costs.push(cost);
    }
    Ok(costs)
}

/// The time is linear in the length of the text.
fn check_operation(
    fragments: &Fragments<'_>,
    operation: &Node<OperationDefinition>,
    limits: &Limits,
) -> Result<OperationCost, Error> {
    let mut visitor = CostVisitor {
        definitions: fragments,
        fragments: HashMap::new(),
        fragment_text: 0,
        values: 0,
        nesting: 0,
        max_nesting: limits.nesting,
    };
    let cost = visitor.selection_set(&operation.selection_set)?;
    // Validation returns an error for each invalid directive.
    let variables = operation.variables.iter();
    let on_variables: usize = variables.map(|variable| variable.directives.len()).sum();
    let directives = operation.directives.len().saturating_add(on_variables);
    let selections = cost.selections.saturating_add(directives);
    // The complexity of a root field does not account for SQL statements and transactions. Without this limit,
    // a document of 10 KB can contain 900 root fields. These fields could issue 900 session tokens, each in its
    // own transaction. They could also count all users 900 times, which uses 38 MB of memory. With the default
    // limit of 50 root fields, this uses 4 MB.
    check_limit("rootFields", cost.root_fields, limits.root_fields)?;
    check_limit("depth", cost.depth, limits.depth)?;
    check_limit("nesting", cost.nesting, limits.nesting)?;
    check_limit("introspectionDepth", cost.introspection_depth, 2)?;
    let text = cost.text.saturating_add(text_length(operation));
    check_limit("documentBytes", text, limits.document_bytes)?;
    Ok(OperationCost {
        selections,
        values: visitor.values,
        multiplying_aliases: cost.multiplying_aliases,
        added_text: cost.text.saturating_sub(visitor.fragment_text),
    })
}

/// The introspection fields that lead from one type to a list of types.
const TYPE_LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// The cost of selections, with fragments expanded.
#[derive(Clone, Copy, Default)]
struct DocumentCost {
    /// The length of the text of expanded fragments, in bytes.
    text: usize,
    /// The number of selections and directives, at any depth.
    selections: usize,
    /// The number of fields that are not nested in another field.
    root_fields: usize,
    /// The number of aliases at any depth.
    aliases: usize,
    /// The number of aliases of `__typename`, plus the number of all aliases below `__schema`, `__type` and `_service`.
    /// async-graphql assigns no complexity to `__typename`, and counts a list of types and the SDL as one field.
    multiplying_aliases: usize,
    /// The nesting depth of fields.
    depth: usize,
    /// The nesting depth of selections, including fragments.
    nesting: usize,
    /// The nesting depth of the fields in [`TYPE_LISTS`].
    type_lists: usize,
    /// The nesting depth of the fields in [`TYPE_LISTS`] that are below `__schema` or `__type`.
    introspection_depth: usize,
}

impl DocumentCost {
    /// Adds the cost of a sibling selection.
    fn add(&mut self, other: Self) {
        self.text = self.text.saturating_add(other.text);
        self.selections = self.selections.saturating_add(other.selections);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.multiplying_aliases =
            (self.multiplying_aliases).saturating_add(other.multiplying_aliases);
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.type_lists = self.type_lists.max(other.type_lists);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
    }
}

struct CostVisitor<'f, 'a> {
    definitions: &'f Fragments<'a>,
    /// The cost of each visited fragment. `None` while the fragment is being visited.
    fragments: HashMap<&'a Name, Option<DocumentCost>>,
    /// The length of the text of visited fragments, in bytes.
    fragment_text: usize,
    /// The number of values in the arguments of visited selections.
    values: usize,
    /// The nesting of the selection that is being visited.
    nesting: usize,
    max_nesting: usize,
}

impl<'a> CostVisitor<'_, 'a> {
    fn selection_set(&mut self, set: &'a [Selection]) -> Result<DocumentCost, Error> {
        let mut cost = DocumentCost::default();
        for selection in set {
            cost.add(self.selection(selection)?);
        }
        Ok(cost)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<DocumentCost, Error> {
        self.nesting += 1;
        check_limit("nesting", self.nesting, self.max_nesting)?;
        let mut cost = match selection {
            Selection::Field(field) => {
                self.values += count_values(&field.arguments);
                let mut cost = self.selection_set(&field.selection_set)?;
                let name = field.name.as_str();
                let has_alias = field.alias.is_some();
                cost.root_fields = 1;
                cost.depth += 1;
                cost.type_lists += usize::from(TYPE_LISTS.contains(&name));
                if matches!(name, "__schema" | "__type" | "_service") {
                    cost.introspection_depth = cost.type_lists;
                    cost.multiplying_aliases = cost.aliases;
                }
                cost.aliases = cost.aliases.saturating_add(has_alias.into());
                if has_alias && name == "__typename" {
                    cost.multiplying_aliases = 1;
                }
                cost
            }
            Selection::InlineFragment(fragment) => self.selection_set(&fragment.selection_set)?,
            Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name)?,
        };
        let directives = directives(selection);
        let values = directives.iter().map(|it| count_values(&it.arguments));
        self.values += values.sum::<usize>();
        let directives = directives.len();
        cost.selections = cost.selections.saturating_add(1 + directives);
        cost.nesting += 1;
        self.nesting -= 1;
        Ok(cost)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<DocumentCost, Error> {
        if let Some(cost) = self.fragments.get(name) {
            // Validation refuses cycles.
            return Ok(cost.unwrap_or_default());
        }
        // Validation refuses undefined fragments.
        let Some(fragment) = self.definitions.get(name) else {
            return Ok(DocumentCost::default());
        };
        self.fragments.insert(name, None);
        let mut cost = self.selection_set(&fragment.selection_set)?;
        let text = text_length(fragment);
        self.fragment_text += text;
        cost.text = cost.text.saturating_add(text);
        cost.selections = (cost.selections).saturating_add(fragment.directives.len());
        self.fragments.insert(name, Some(cost));
        Ok(cost)
    }
}

fn text_length<T>(node: &Node<T>) -> usize {
    node.location().map_or(0, |span| span.node_len())
}

pub(super) fn directives(selection: &Selection) -> &DirectiveList {
    match selection {
        Selection::Field(field) => &field.directives,
        Selection::InlineFragment(fragment) => &fragment.directives,
        Selection::FragmentSpread(spread) => &spread.directives,
    }
}

/// Returns the number of values in arguments, at any depth. The nesting of the text is limited.
fn count_values(arguments: &[Node<Argument>]) -> usize {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::List(values) => values.iter().map(|value| count(value)).sum(),
            Value::Object(fields) => fields.iter().map(|(_, value)| count(value)).sum(),
            _ => 0,
        }
    }
    arguments
        .iter()
        .map(|argument| count(&argument.value))
        .sum()
}

//! Parsed GraphQL documents.

use std::collections::HashMap;
use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use apollo_compiler::{Node, ast};
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Variables};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::direct_execution::{ExpandedOperation, OnError};
use crate::graphql::document_conversion::convert;
use crate::graphql::document_limits::check_text;
use crate::graphql::document_validation::{parse, validate};
use crate::graphql::operation_limits::check_operations;
use crate::graphql::representations;
use crate::graphql::schema_definitions::Definitions;

/// The estimated memory of a document in addition to its text and nodes, in bytes. The estimate covers table
/// entries and the padding that the allocator adds.
pub(super) const OVERHEAD: usize = 1024;

/// One operation of a valid GraphQL document. Fragments are expanded.
pub(crate) struct Document {
    pub(crate) operation_type: OperationType,
    /// The name of the operation. `None` if the operation is anonymous.
    pub(crate) name: Option<String>,
    /// The names of the root fields, not their aliases.
    pub(crate) root_fields: Vec<Arc<str>>,
    /// The names of the root fields, separated by commas, for the request log.
    pub(crate) fields: String,
    /// The number of aliases that can multiply the size of the response, but that the complexity does not
    /// include. An alias in a fragment counts once for each use of the fragment.
    multiplying_aliases: usize,
    max_complexity: usize,
    pub(super) operation: ExpandedOperation,
    /// An upper bound on the memory of the document, in bytes.
    pub(crate) bytes: usize,
}

impl Document {
    /// Parses and validates a document, and selects the operation to execute. Checks the document and the
    /// operation against the limits.
    pub(super) fn parse(
        text: &str,
        name: Option<&str>,
        limits: &Limits,
        definitions: &Definitions,
    ) -> Result<Self, Error> {
        let tokens = check_text(text, limits)?;
        let document = parse(text, limits)?;
        let nodes = document.definitions.iter();
        let operations = nodes
            .clone()
            .filter_map(ast::Definition::as_operation_definition);
        let operations: Vec<_> = operations.collect();
        let fragments = nodes
            .filter_map(ast::Definition::as_fragment_definition)
            .map(|fragment| (&fragment.name, fragment))
            .collect();
        let mut costs = check_operations(&fragments, &operations, limits)?;
        validate(text, &document, definitions, limits)?;
        let selected = select_operation(&operations, name)?;
        let cost = costs.swap_remove(selected);
        let operation = convert(
            text,
            &definitions.env.registry,
            &fragments,
            operations[selected],
        );
        let operation_type = operation.definition.node.ty;
        if operation_type == OperationType::Mutation {
            check_response_keys(&operation.selections.node)?;
        }
        let root_fields = root_fields(&operation.selections.node);
        // Each token is counted as a node of the largest type. A token of the added text has at least one byte.
        let nodes = tokens + cost.added_text;
        let bytes = text.len() + cost.added_text + nodes * size_of::<Positioned<Selection>>();
        Ok(Self {
            operation_type,
            name: operations[selected].name.as_ref().map(ToString::to_string),
            fields: root_fields.join(","),
            root_fields,
            // The factor 2 accounts for unused capacity of vectors, for names, and for the directives of nullable fields.
            bytes: 2 * bytes + OVERHEAD,
            multiplying_aliases: cost.multiplying_aliases,
            max_complexity: limits.complexity,
            operation,
        })
    }

    /// Returns the GraphQL keyword for the type of the operation.
    pub(crate) fn operation_keyword(&self) -> &'static str {
        match self.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }

    /// Returns a copy of the document for the values of variables. async-graphql consumes the document that it executes.
    /// The copy contains excluded selections, so that the complexity is the same for each request.
    pub(super) fn parsed(&self, variables: &Variables) -> ExecutableDocument {
        let mut operation = self.operation.definition.clone();
        operation.node.selection_set = self.operation.selections(variables).into_owned();
        ExecutableDocument {
            operations: DocumentOperations::Single(operation),
            fragments: HashMap::new(),
        }
    }

    /// Returns whether [`DirectExecution`](crate::graphql::direct_execution::DirectExecution) can execute the
    /// operation. Mutations are excluded for simplicity: most of their time is spent in the database.
    pub(super) fn is_direct(&self) -> bool {
        self.operation_type == OperationType::Query && !self.operation.properties.has_library_fields
    }

    /// Returns the response key of a subscription if its field is nullable.
    pub(super) fn nullable_event(&self) -> Option<&Name> {
        let is_subscription = self.operation_type == OperationType::Subscription;
        let selection = self.operation.selections.node.items.first()?;
        match &selection.node {
            Selection::Field(field) if is_subscription && OnError::Null.is_on(&field.node) => {
                Some(&field.node.response_key().node)
            }
            _ => None,
        }
    }

    /// Returns the number of representations of entities.
    pub(super) fn representations(&self, variables: &Variables) -> usize {
        if !self.operation.properties.has_library_fields {
            return 0;
        }
        representations::count(&self.operation.selections.node, variables)
    }

    /// Returns whether the complexity is within the limit, including the aliases and the representations that
    /// async-graphql does not count. Each of these aliases can be repeated in every entry of a list. The complexity or, for
    /// introspection, the size of the schema bounds the number of entries.
    pub(super) fn is_within_complexity(&self, complexity: usize, representations: usize) -> bool {
        let aliases = self.multiplying_aliases.saturating_add(1);
        let factor = aliases.saturating_mul(representations.max(1));
        complexity.saturating_mul(factor) <= self.max_complexity
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, fields) = (self.operation_keyword(), &self.root_fields);
        write!(f, "Document({kind} {:?} of {fields:?})", self.name)
    }
}

/// Returns the index of the operation to execute (GraphQL specification, section 6.1).
fn select_operation(
    operations: &[&Node<ast::OperationDefinition>],
    name: Option<&str>,
) -> Result<usize, Error> {
    let refuse = |message: &str| Err(Error::GraphqlValidationFailed(message.to_owned()));
    match (operations, name) {
        ([], _) => {
            refuse("The document has no operation. Add a query, a mutation or a subscription.")
        }
        ([_], None) => Ok(0),
        (_, None) => refuse("The document has several operations. Select one with operationName."),
        ([operation], Some(_)) if operation.name.is_none() => {
            refuse("The operation is anonymous. Remove operationName, or name the operation.")
        }
        (operations, Some(name)) => {
            let is_meant = |operation: &&Node<ast::OperationDefinition>| {
                (operation.name.as_ref()).is_some_and(|own| own == name)
            };
            operations.iter().position(is_meant).map_or_else(
                || refuse("The document has no operation with the name in operationName."),
                Ok,
            )
        }
    }
}

/// Returns the names of the root fields. Call this function only after [`check_operations`], which limits the
/// number of root fields.
fn root_fields(set: &SelectionSet) -> Vec<Arc<str>> {
    let names = set
        .items
        .iter()
        .flat_map(|selection| match &selection.node {
            Selection::Field(field) => vec![field.node.name.node.as_str().into()],
            Selection::InlineFragment(inline) => root_fields(&inline.node.selection_set.node),
            Selection::FragmentSpread(_) => Vec::new(),
        });
    names.collect()
}

/// Checks that each root field of a mutation is selected once. [`convert`] merges fields with one response key unless
/// their directives differ. async-graphql would execute the other fields several times.
fn check_response_keys(set: &SelectionSet) -> Result<(), Error> {
    let mut keys = Vec::new();
    let mut sets = vec![set];
    while let Some(set) = sets.pop() {
        for item in &set.items {
            match &item.node {
                // `__typename` changes nothing.
                Selection::Field(field) if field.node.name.node == "__typename" => {}
                Selection::Field(field) => keys.push(&field.node.response_key().node),
                Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < count {
        let message = "A field of the mutation is selected several times with different directives. \
                       Select the field once, or use aliases.";
        return Err(Error::GraphqlValidationFailed(message.to_owned()));
    }
    Ok(())
}

//! Parsed GraphQL documents.

use std::collections::HashMap;
use std::fmt;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::parser::{Error as ParserError, parse_query};
use async_graphql::{Name, Positioned, SchemaEnv, ValidationResult};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document_limits::{check_operation, check_text};
use crate::graphql::validated_document::{ValidatedDocument, fast_path_operation, inspect_fields};

/// The estimated memory of a document in addition to its text and nodes, in bytes. The estimate covers table
/// entries and the padding that the allocator adds.
pub(super) const OVERHEAD: usize = 1024;

/// One operation of a GraphQL document, with the fragments that the operation uses.
pub(crate) struct Document {
    pub(crate) operation_type: OperationType,
    /// The name of the operation. `None` if the operation is anonymous.
    pub(crate) name: Option<String>,
    /// The names of the root fields, not their aliases.
    pub(crate) root_fields: Vec<Arc<str>>,
    /// The names of the root fields, separated by commas, for the request log.
    pub(crate) fields: String,
    /// The number of aliases that can multiply the size of the response, but that the complexity does not
    /// include. An alias
    /// in a fragment counts once for each use of the fragment.
    multiplying_aliases: usize,
    max_complexity: usize,
    parsed: ExecutableDocument,
    /// Set after the first successful validation. Contains `None` if the validation depends on the values
    /// of variables.
    validated: OnceLock<Option<ValidatedDocument>>,
    bytes: usize,
}

impl Document {
    /// Parses a document and selects the operation to execute. Checks the document and the operation against
    /// the limits.
    pub(super) fn parse(text: &str, name: Option<&str>, limits: &Limits) -> Result<Self, Error> {
        let tokens = check_text(text, limits)?;
        let mut parsed = parse_query(text).map_err(|error| parse_error(&error))?;
        let has_one_operation = parsed.operations.iter().count() == 1;
        let (name, operation) = select_operation(&mut parsed, name)?;
        let cost = check_operation(&parsed.fragments, &operation.node, limits)?;
        if !has_one_operation {
            // Fragments of other operations are removed, because they can use variables that this operation
            // does not declare.
            let used = cost.fragments;
            parsed.fragments.retain(|name, _| used.contains(name));
        }
        let root_fields = root_fields(&parsed.fragments, &operation.node.selection_set.node);
        let operation_type = operation.node.ty;
        parsed.operations = DocumentOperations::Single(operation);
        Ok(Self {
            operation_type,
            name,
            fields: root_fields.join(","),
            root_fields,
            // Each token is counted as a node of the largest type. The factor 2 is necessary because a vector
            // can have up to twice the capacity that it needs.
            bytes: 2 * text.len() + 2 * tokens * size_of::<Positioned<Selection>>() + OVERHEAD,
            multiplying_aliases: cost.multiplying_aliases,
            max_complexity: limits.complexity,
            parsed,
            validated: OnceLock::new(),
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

    /// Returns an upper bound on the memory of the document, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the names of the variables that the operation declares.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Name> {
        let definitions = self
            .operation()
            .map(|operation| &operation.variable_definitions);
        definitions
            .into_iter()
            .flatten()
            .map(|definition| &definition.node.name.node)
    }

    /// Returns a copy of the parsed document, because async-graphql consumes the document that it executes.
    pub(super) fn parsed(&self) -> ExecutableDocument {
        self.parsed.clone()
    }

    pub(super) fn operation(&self) -> Option<&OperationDefinition> {
        match &self.parsed.operations {
            DocumentOperations::Single(operation) => Some(&operation.node),
            DocumentOperations::Multiple(_) => None,
        }
    }

    pub(super) fn selection_set(&self) -> Option<&Positioned<SelectionSet>> {
        self.operation().map(|operation| &operation.selection_set)
    }

    pub(super) fn fragments(&self) -> &HashMap<Name, Positioned<FragmentDefinition>> {
        &self.parsed.fragments
    }

    /// Returns whether the document has been validated successfully, at least for the variables of one
    /// request.
    pub(super) fn is_valid(&self) -> bool {
        self.validated.get().is_some()
    }

    /// Returns the validated document if validation does not depend on the values of variables, and `None`
    /// otherwise.
    pub(super) fn validated(&self) -> Option<&ValidatedDocument> {
        self.validated.get()?.as_ref()
    }

    /// Returns the validated document and the operation without its selections, or `None` if the fast path
    /// cannot execute the document.
    pub(super) fn fast_path(
        &self,
    ) -> Option<(&ValidatedDocument, &Positioned<OperationDefinition>)> {
        let validated = self.validated()?;
        let operation = validated.fast_path.as_ref()?;
        (!validated.erred.load(Ordering::Relaxed)).then_some((validated, operation))
    }

    /// Returns whether the complexity is within the limit, including the aliases that async-graphql does
    /// not count. Each of these aliases can be repeated in every entry of a list. The complexity or, for
    /// introspection, the size of the schema bounds the number of entries.
    pub(super) fn is_within_complexity(&self, complexity: usize) -> bool {
        let factor = self.multiplying_aliases.saturating_add(1);
        complexity.saturating_mul(factor) <= self.max_complexity
    }

    /// Stores the result of a successful validation. If the complexity of a field depends on variables, the
    /// result is not reused, because each request must be validated with its own values.
    pub(super) fn mark_validated(&self, result: ValidationResult, schema: &SchemaEnv) {
        self.validated.get_or_init(|| {
            let selections = self.selections();
            let (depends_on_variables, has_nullable) =
                inspect_fields(&selections, &schema.registry);
            (!depends_on_variables).then(|| ValidatedDocument {
                result,
                schema: schema.clone(),
                fast_path: fast_path_operation(
                    &self.parsed.operations,
                    &selections,
                    &self.root_fields,
                ),
                has_nullable,
                erred: AtomicBool::new(false),
            })
        });
    }

    /// Returns all selections of the operation and of its fragments, at any depth.
    fn selections(&self) -> Vec<&Selection> {
        let fragments = self.parsed.fragments.values();
        let fragments = fragments.map(|fragment| &fragment.node.selection_set.node);
        let operation = self.selection_set().map(|set| &set.node);
        let mut sets: Vec<_> = fragments.chain(operation).collect();
        let mut selections = Vec::new();
        while let Some(set) = sets.pop() {
            for selection in &set.items {
                selections.push(&selection.node);
                match &selection.node {
                    Selection::Field(field) => sets.push(&field.node.selection_set.node),
                    Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                    Selection::FragmentSpread(_) => {}
                }
            }
        }
        selections
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, fields) = (self.operation_keyword(), &self.root_fields);
        write!(f, "Document({kind} {:?} of {fields:?})", self.name)
    }
}

/// Removes the operation to execute from the document, and returns the operation with its name (GraphQL
/// specification, section 6.1). The other operations are dropped, because async-graphql confuses the variables
/// of several operations.
fn select_operation(
    document: &mut ExecutableDocument,
    name: Option<&str>,
) -> Result<(Option<String>, Positioned<OperationDefinition>), Error> {
    let refuse = |message: &str| Err(Error::GraphqlValidationFailed(message.to_owned()));
    let empty = DocumentOperations::Multiple(HashMap::new());
    let mut operations = match (std::mem::replace(&mut document.operations, empty), name) {
        (DocumentOperations::Single(operation), None) => return Ok((None, operation)),
        (DocumentOperations::Single(_), Some(_)) => {
            return refuse(
                "The operation is anonymous. Remove operationName, or name the operation.",
            );
        }
        (DocumentOperations::Multiple(operations), _) => operations,
    };
    let name = match (name, operations.len()) {
        (Some(name), _) => name.to_owned(),
        (None, 1) => operations
            .keys()
            .next()
            .map(Name::to_string)
            .unwrap_or_default(),
        (None, _) => {
            return refuse("The document has several operations. Select one with operationName.");
        }
    };
    match operations.remove(name.as_str()) {
        Some(operation) => Ok((Some(name), operation)),
        None => refuse("The document has no operation with the name in operationName."),
    }
}

/// Returns the names of the root fields. Call this function only after [`check_operation`], which limits the
/// number of root fields.
fn root_fields(
    fragments: &HashMap<Name, Positioned<FragmentDefinition>>,
    set: &SelectionSet,
) -> Vec<Arc<str>> {
    let names = set.items.iter().flat_map(|selection| {
        let set = match &selection.node {
            Selection::Field(field) => return vec![field.node.name.node.as_str().into()],
            Selection::InlineFragment(inline) => Some(&inline.node.selection_set),
            Selection::FragmentSpread(spread) => {
                let fragment = fragments.get(&spread.node.fragment_name.node);
                fragment.map(|fragment| &fragment.node.selection_set)
            }
        };
        set.map_or_else(Vec::new, |set| root_fields(fragments, &set.node))
    });
    names.collect()
}

/// Converts an error of the parser. Only the position is used, because the message of the parser has
/// several lines.
fn parse_error(error: &ParserError) -> Error {
    let position = error.positions().next();
    let position = position.map(|at| format!(" at line {}, column {}", at.line, at.column));
    let position = position.unwrap_or_default();
    Error::GraphqlParseFailed(format!("The document has a syntax error{position}."))
}

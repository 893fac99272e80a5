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
use async_graphql::registry::Registry;
use async_graphql::{Name, Positioned, SchemaEnv, ValidationResult};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document_limits::{check_operation, check_text};

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
    /// The number of aliases that are not counted in the complexity, although they can multiply the response. An alias
    /// in a fragment counts once for each use of the fragment.
    multiplying_aliases: usize,
    max_complexity: usize,
    parsed: ExecutableDocument,
    /// Set after the first successful validation. Contains `None` if the validation depends on the values
    /// of variables.
    validated: OnceLock<Option<ValidatedDocument>>,
    bytes: usize,
}

/// The result of a validation that does not depend on the values of variables.
pub(super) struct ValidatedDocument {
    pub(super) result: ValidationResult,
    pub(super) schema: SchemaEnv,
    /// The operation without its selections. `None` if the fast path cannot execute the operation.
    pub(super) fast_path: Option<Positioned<OperationDefinition>>,
    /// Whether any selected field is nullable.
    pub(super) has_nullable: bool,
    /// Whether an execution on the fast path has returned an error. Set only for documents with nullable
    /// fields.
    erred: AtomicBool,
}

impl ValidatedDocument {
    /// Excludes the document from the fast path. An error in a nullable field must make only that field null.
    /// Only [`SpecExtension`](crate::graphql::spec_extension::SpecExtension) implements this rule, and the
    /// fast path does not run extensions.
    pub(super) fn mark_erred(&self) {
        self.erred.store(true, Ordering::Relaxed);
    }
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
            let (depends_on_variables, has_nullable) = self.inspect_fields(&schema.registry);
            (!depends_on_variables).then(|| ValidatedDocument {
                result,
                schema: schema.clone(),
                fast_path: self.fast_path_operation(),
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

    /// Returns whether the complexity of a field depends on variables, and whether a field is nullable. Fields
    /// are compared only by name, so a field of another type with the same name can cause a false positive.
    fn inspect_fields(&self, registry: &Registry) -> (bool, bool) {
        let (mut depends_on_variables, mut has_nullable) = (false, false);
        for selection in self.selections() {
            let Selection::Field(field) = selection else {
                continue;
            };
            let mut arguments = field.node.arguments.iter();
            let has_variables =
                arguments.any(|(_, value)| value.node.clone().into_const().is_none());
            let types = registry.types.iter();
            let types = types.filter(|(name, _)| !name.starts_with("__"));
            let fields = types.filter_map(|(_, ty)| ty.field_by_name(&field.node.name.node));
            for field in fields {
                depends_on_variables |= has_variables && field.compute_complexity.is_some();
                // A type without nullable parts has one more `!` than it has `[`.
                let count = |character| field.ty.matches(character).count();
                has_nullable |= count('!') <= count('[');
            }
        }
        (depends_on_variables, has_nullable)
    }

    /// Returns the operation without its selections if the fast path can execute it. The fast path executes
    /// queries without directives and without introspection.
    fn fast_path_operation(&self) -> Option<Positioned<OperationDefinition>> {
        let has_directives = |selection: &Selection| !selection.directives().is_empty();
        let is_introspection =
            |field: &Arc<str>| field.starts_with('_') && field.as_ref() != "__typename";
        if self.operation_type != OperationType::Query
            || self.selections().into_iter().any(has_directives)
            || self.root_fields.iter().any(is_introspection)
        {
            return None;
        }
        let DocumentOperations::Single(operation) = &self.parsed.operations else {
            return None;
        };
        let OperationDefinition {
            ty,
            variable_definitions,
            directives,
            ..
        } = &operation.node;
        let without_selections = OperationDefinition {
            ty: *ty,
            variable_definitions: variable_definitions.clone(),
            directives: directives.clone(),
            selection_set: Positioned::default(),
        };
        Some(Positioned::new(without_selections, operation.pos))
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

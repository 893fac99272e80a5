//! Validated GraphQL documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::parser::types::{OperationDefinition, OperationType, Selection};
use async_graphql::registry::Registry;
use async_graphql::{Positioned, SchemaEnv, ValidationResult};

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
    pub(super) erred: AtomicBool,
}

impl ValidatedDocument {
    /// Excludes the document from the fast path. An error in a nullable field must make only that field null.
    /// Only [`SpecExtension`](crate::graphql::spec_extension::SpecExtension) implements this rule, and the
    /// fast path does not run extensions.
    pub(super) fn mark_erred(&self) {
        self.erred.store(true, Ordering::Relaxed);
    }
}

/// Returns whether the complexity of a field depends on variables, and whether a field is nullable. Fields
/// are compared only by name, so a field of another type with the same name can cause a false positive.
pub(super) fn inspect_fields(selections: &[&Selection], registry: &Registry) -> (bool, bool) {
    let (mut depends_on_variables, mut has_nullable) = (false, false);
    for selection in selections {
        let Selection::Field(field) = selection else {
            continue;
        };
        let mut arguments = field.node.arguments.iter();
        let has_variables = arguments.any(|(_, value)| value.node.clone().into_const().is_none());
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
pub(super) fn fast_path_operation(
    operation: &Positioned<OperationDefinition>,
    selections: &[&Selection],
    root_fields: &[Arc<str>],
) -> Option<Positioned<OperationDefinition>> {
    let has_directives = |selection: &Selection| !selection.directives().is_empty();
    let is_introspection =
        |field: &Arc<str>| field.starts_with('_') && field.as_ref() != "__typename";
    if operation.node.ty != OperationType::Query
        || selections.iter().copied().any(has_directives)
        || root_fields.iter().any(is_introspection)
    {
        return None;
    }
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

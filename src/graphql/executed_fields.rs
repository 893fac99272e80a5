//! Prepares the fields of a validated operation for execution.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Field, FragmentDefinition, InlineFragment, OperationDefinition, OperationType, Selection,
    SelectionSet, TypeCondition,
};
use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{Name, Positioned};

use crate::graphql::direct_execution::{LIBRARY_FIELDS, NullOnError};

/// The properties of the fields of an operation, including those in its fragments.
#[derive(Default)]
pub(super) struct ExecutedFields {
    /// Whether the complexity of a field depends on the values of variables.
    pub(super) complexity_depends_on_variables: bool,
    /// Whether a selection has directives, for example `@skip` or `@include`.
    pub(super) has_directives: bool,
    /// Whether the operation selects fields that only async-graphql can execute.
    pub(super) has_library_fields: bool,
    /// The largest number of copies of a field that were added.
    pub(super) copies: usize,
}

/// Adds [`NullOnError`] to the nullable fields of an operation and of its fragments, and returns the properties of the
/// fields.
pub(super) fn prepare_fields(
    registry: &Registry,
    operation: &mut OperationDefinition,
    fragments: &mut HashMap<Name, Positioned<FragmentDefinition>>,
) -> ExecutedFields {
    let mut fields = ExecutedFields::default();
    let root = match operation.ty {
        OperationType::Query => Some(&registry.query_type),
        OperationType::Mutation => registry.mutation_type.as_ref(),
        OperationType::Subscription => registry.subscription_type.as_ref(),
    };
    let root = root.map_or("", String::as_str);
    fields.selection_set(registry, root, &mut operation.selection_set.node);
    for fragment in fragments.values_mut() {
        let FragmentDefinition {
            type_condition,
            selection_set,
            ..
        } = &mut fragment.node;
        fields.selection_set(
            registry,
            &type_condition.node.on.node,
            &mut selection_set.node,
        );
    }
    fields
}

impl ExecutedFields {
    fn selection_set(&mut self, registry: &Registry, parent: &str, set: &mut SelectionSet) {
        let items = std::mem::take(&mut set.items).into_iter();
        for item in items {
            let split = split_by_type(registry, parent, item);
            self.copies = self.copies.max(split.len() - 1);
            set.items.extend(split);
        }
        for item in &mut set.items {
            self.has_directives |= !item.node.directives().is_empty();
            match &mut item.node {
                Selection::Field(field) => self.field(registry, parent, field),
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref();
                    let on = on.map(|condition| condition.node.on.node.clone());
                    let set = &mut inline.node.selection_set.node;
                    self.selection_set(registry, on.as_deref().unwrap_or(parent), set);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn field(&mut self, registry: &Registry, parent: &str, field: &mut Positioned<Field>) {
        let pos = field.pos;
        let field = &mut field.node;
        let name = field.name.node.as_str();
        self.has_library_fields |= LIBRARY_FIELDS.contains(&name);
        let ty = registry.types.get(parent);
        let definition = ty.and_then(|ty| ty.field_by_name(name));
        // `__typename` and introspection never fail.
        let Some(definition) = definition.filter(|_| !name.starts_with("__")) else {
            return;
        };
        let mut arguments = field.arguments.iter();
        self.complexity_depends_on_variables |= definition.compute_complexity.is_some()
            && arguments.any(|(_, value)| value.node.clone().into_const().is_none());
        if object_types(registry, parent).any(|(_, ty)| is_nullable(ty, name)) {
            field.directives.reserve_exact(1);
            field.directives.push(NullOnError::directive(pos));
        }
        let ty = MetaTypeName::concrete_typename(&definition.ty);
        self.selection_set(registry, ty, &mut field.selection_set.node);
    }
}

/// Returns a selection. If a field of an interface is nullable in only some of the types that implement the
/// interface, the field is selected for each type separately. A field with selections is not split, because nested
/// copies would multiply.
fn split_by_type(
    registry: &Registry,
    parent: &str,
    item: Positioned<Selection>,
) -> Vec<Positioned<Selection>> {
    let Selection::Field(field) = &item.node else {
        return vec![item];
    };
    if !field.node.selection_set.node.items.is_empty() {
        return vec![item];
    }
    let types: Vec<_> = object_types(registry, parent).collect();
    let name = field.node.name.node.as_str();
    let nullable = types.iter().filter(|(_, ty)| is_nullable(ty, name));
    if [0, types.len()].contains(&nullable.count()) {
        return vec![item];
    }
    let pos = item.pos;
    let types = types.into_iter().map(|(name, _)| {
        let on = Positioned::new(Name::new(name), pos);
        let items = vec![item.clone()];
        let inline = InlineFragment {
            type_condition: Some(Positioned::new(TypeCondition { on }, pos)),
            directives: Vec::new(),
            selection_set: Positioned::new(SelectionSet { items }, pos),
        };
        let inline = Selection::InlineFragment(Positioned::new(inline, pos));
        Positioned::new(inline, pos)
    });
    types.collect()
}

/// Returns the object types of the objects to which a selection with this parent type applies.
fn object_types<'r>(
    registry: &'r Registry,
    parent: &'r str,
) -> impl Iterator<Item = (&'r str, &'r MetaType)> {
    let ty = registry.types.get(parent);
    let possible = ty.and_then(MetaType::possible_types);
    let own = ty.filter(|_| possible.is_none()).map(|ty| (parent, ty));
    let possible = possible.into_iter().flatten();
    let possible = possible.filter_map(|name| Some((name.as_str(), registry.types.get(name)?)));
    own.into_iter().chain(possible)
}

fn is_nullable(ty: &MetaType, field: &str) -> bool {
    (ty.field_by_name(field)).is_some_and(|field| !field.ty.ends_with('!'))
}

//! Look-ups in the schema, and relations between types. Types are texts such as `[Int!]!`, as in the
//! registry of async-graphql.

use async_graphql::parser::types::OperationType;
use async_graphql::registry::{MetaField, MetaInputValue, MetaType, MetaTypeName, Registry};

/// The definition of a field.
#[derive(Clone, Copy)]
pub(super) struct FieldDefinition<'d> {
    pub(super) ty: &'d str,
    /// `None` for `__typename`, which has no arguments.
    meta: Option<&'d MetaField>,
}

impl<'d> FieldDefinition<'d> {
    pub(super) fn of(parent: &'d MetaType, name: &str) -> Option<Self> {
        if name == "__typename" && parent.is_composite() {
            return Some(Self {
                ty: "String!",
                meta: None,
            });
        }
        let meta = parent.field_by_name(name)?;
        Some(Self {
            ty: &meta.ty,
            meta: Some(meta),
        })
    }

    pub(super) fn arguments(self) -> impl Iterator<Item = &'d MetaInputValue> {
        self.meta.into_iter().flat_map(|meta| meta.args.values())
    }
}

/// Returns the type that is named in `ty`, for example `Int` for `[Int!]`.
pub(super) fn named<'d>(registry: &'d Registry, ty: &str) -> Option<&'d MetaType> {
    registry.types.get(MetaTypeName::concrete_typename(ty))
}

/// Returns the type if fields can be selected on it.
pub(super) fn composite<'d>(registry: &'d Registry, ty: &str) -> Option<&'d MetaType> {
    named(registry, ty).filter(|ty| ty.is_composite())
}

/// Returns the type of the root of operations. `None` if the schema has no such operations.
pub(super) fn root_type(registry: &Registry, ty: OperationType) -> Option<&MetaType> {
    let name = match ty {
        OperationType::Query => Some(&registry.query_type),
        OperationType::Mutation => registry.mutation_type.as_ref(),
        OperationType::Subscription => registry.subscription_type.as_ref(),
    };
    composite(registry, name?)
}

/// Returns the type of the items if the type is a list.
pub(super) fn item(ty: &str) -> Option<&str> {
    match MetaTypeName::create(ty).unwrap_non_null() {
        MetaTypeName::List(item) => Some(item),
        _ => None,
    }
}

/// Returns whether an argument or an input field must be given.
pub(super) fn is_required(value: &MetaInputValue) -> bool {
    value.ty.ends_with('!') && value.default_value.is_none()
}

/// Returns whether all values of the type `sub` are values of the type `ty`. Both are input types.
pub(super) fn accepts(ty: &str, sub: &str) -> bool {
    match (MetaTypeName::create(ty), MetaTypeName::create(sub)) {
        (MetaTypeName::NonNull(ty), MetaTypeName::NonNull(sub))
        | (MetaTypeName::List(ty), MetaTypeName::List(sub)) => accepts(ty, sub),
        (_, MetaTypeName::NonNull(sub)) => accepts(ty, sub),
        (MetaTypeName::Named(ty), MetaTypeName::Named(sub)) => ty == sub,
        _ => false,
    }
}

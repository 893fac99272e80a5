//! Converts validated operations from the types of apollo-compiler to the types that async-graphql executes.

use std::collections::HashMap;

use apollo_compiler::ast;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};
use async_graphql::parser::types as library;
use async_graphql::registry::{MetaField, MetaType, MetaTypeName, Registry};
use async_graphql::{Name as LibraryName, Number, Pos, Positioned};
use async_graphql_value::Value as LibraryValue;

use crate::error::Position;
use crate::graphql::direct_execution::{ExpandedOperation, LIBRARY_FIELDS, OnError, Properties};
use crate::graphql::document_positions::Positions;
use crate::graphql::operation_limits::{Fragments, directives};
use crate::graphql::representations::ENTITIES;

impl From<Position> for Pos {
    fn from(Position { line, column }: Position) -> Self {
        Self { line, column }
    }
}

/// Converts an operation. Fragments are expanded, because async-graphql would copy them for each request. Nullable fields,
/// fields of interfaces and entities get the directive [`OnError`].
pub(super) fn convert(
    text: &str,
    registry: &Registry,
    fragments: &Fragments<'_>,
    operation: &Node<ast::OperationDefinition>,
) -> ExpandedOperation {
    let mut conversion = Conversion {
        positions: Positions::new(text),
        registry,
        fragments,
        properties: Properties::default(),
    };
    let pos = conversion.pos(operation.location());
    let variables = operation.variables.iter();
    let (ty, root) = match operation.operation_type {
        ast::OperationType::Query => (library::OperationType::Query, Some(&registry.query_type)),
        ast::OperationType::Mutation => (
            library::OperationType::Mutation,
            registry.mutation_type.as_ref(),
        ),
        ast::OperationType::Subscription => (
            library::OperationType::Subscription,
            registry.subscription_type.as_ref(),
        ),
    };
    let root = root.map_or("", String::as_str);
    let definition = library::OperationDefinition {
        ty,
        variable_definitions: variables
            .map(|it| conversion.variable_definition(it))
            .collect(),
        directives: conversion.directives(&operation.directives),
        selection_set: Positioned::default(),
    };
    ExpandedOperation {
        definition: Positioned::new(definition, pos),
        selections: conversion.selection_set(pos, root, &mut operation.selection_set.iter()),
        properties: conversion.properties,
    }
}

/// The selections of a set, in the order of the first selection of each response key.
#[derive(Default)]
struct Groups<'t> {
    selections: Vec<Group<'t>>,
    /// The indices of the fields in `selections`, by their response keys and directives.
    fields: HashMap<(&'t Name, &'t ast::DirectiveList), usize>,
}

enum Group<'t> {
    Fields(Vec<&'t Node<ast::Field>>),
    /// A fragment, its type condition unless it is always true, and its selections.
    Fragment(&'t ast::Selection, Option<&'t Name>, &'t [ast::Selection]),
}

impl<'t> Groups<'t> {
    fn add(&mut self, field: &'t Node<ast::Field>) {
        let key = (field.response_name(), &field.directives);
        let index = *self.fields.entry(key).or_insert(self.selections.len());
        match self.selections.get_mut(index) {
            Some(Group::Fields(fields)) => fields.push(field),
            _ => self.selections.push(Group::Fields(vec![field])),
        }
    }
}

struct Conversion<'t> {
    positions: Positions<'t>,
    registry: &'t Registry,
    fragments: &'t Fragments<'t>,
    properties: Properties,
}

impl<'t> Conversion<'t> {
    fn pos(&self, span: Option<SourceSpan>) -> Pos {
        self.positions.of(span).into()
    }

    fn name(&self, name: &Name) -> Positioned<LibraryName> {
        Positioned::new(LibraryName::new(name), self.pos(name.location()))
    }

    fn variable_definition(
        &self,
        definition: &Node<ast::VariableDefinition>,
    ) -> Positioned<library::VariableDefinition> {
        let pos = self.pos(definition.location());
        let ty = definition.ty.to_string();
        // The text is well-formed, so the second type is never used.
        let ty = library::Type::new(&ty).unwrap_or_else(|| library::Type {
            base: library::BaseType::Named(LibraryName::new(&ty)),
            nullable: true,
        });
        let default = definition.default_value.as_ref().and_then(|default| {
            let constant = convert_value(default).into_const()?;
            Some(Positioned::new(constant, self.pos(default.location())))
        });
        let node = library::VariableDefinition {
            name: self.name(&definition.name),
            var_type: Positioned::new(ty, pos),
            default_value: default,
            directives: self.directives(&definition.directives),
        };
        Positioned::new(node, pos)
    }

    /// Converts selections. The fields that have the same response key and the same directives become one field
    /// ([GraphQL specification, section 6.3.2](https://spec.graphql.org/September2025/#sec-Field-Collection)), because
    /// async-graphql would resolve each of them.
    fn selection_set(
        &mut self,
        pos: Pos,
        parent: &'t str,
        selections: &mut dyn Iterator<Item = &'t ast::Selection>,
    ) -> Positioned<library::SelectionSet> {
        let mut groups = Groups::default();
        self.collect(parent, selections, &mut groups);
        let convert = |group| match group {
            Group::Fields(fields) => self.fields(parent, &fields),
            Group::Fragment(selection, on, set) => {
                let pos = self.pos(selection.location());
                let set = self.selection_set(pos, on.map_or(parent, Name::as_str), &mut set.iter());
                let inline = library::InlineFragment {
                    type_condition: on.map(|on| {
                        let on = self.name(on);
                        Positioned::new(library::TypeCondition { on }, pos)
                    }),
                    directives: self.directives(directives(selection)),
                    selection_set: set,
                };
                let inline = library::Selection::InlineFragment(Positioned::new(inline, pos));
                Some(Positioned::new(inline, pos))
            }
        };
        let items = groups.selections.into_iter().filter_map(convert).collect();
        Positioned::new(library::SelectionSet { items }, pos)
    }

    /// Adds selections to `groups`. A fragment that always applies is replaced by its selections.
    fn collect(
        &mut self,
        parent: &'t str,
        selections: &mut dyn Iterator<Item = &'t ast::Selection>,
        groups: &mut Groups<'t>,
    ) {
        for selection in selections {
            let directives = directives(selection);
            self.properties.has_directives |= !directives.is_empty();
            let (on, set) = match selection {
                ast::Selection::Field(field) => {
                    groups.add(field);
                    continue;
                }
                ast::Selection::InlineFragment(inline) => {
                    (inline.type_condition.as_ref(), &inline.selection_set)
                }
                ast::Selection::FragmentSpread(spread) => {
                    // Validation refuses undefined fragments and cycles.
                    let Some(fragment) = self.fragments.get(&spread.fragment_name) else {
                        continue;
                    };
                    (Some(&fragment.type_condition), &fragment.selection_set)
                }
            };
            // async-graphql ignores conditions that are unions.
            let on = on.filter(|on| !self.is_redundant(parent, on));
            if directives.is_empty() && on.is_none() {
                self.collect(parent, &mut set.iter(), groups);
            } else {
                groups.selections.push(Group::Fragment(selection, on, set));
            }
        }
    }

    /// Converts fields with one response key and equal directives.
    fn fields(
        &mut self,
        parent: &'t str,
        fields: &[&'t Node<ast::Field>],
    ) -> Option<Positioned<library::Selection>> {
        let field = fields.first()?;
        let pos = self.pos(field.location());
        let name = field.name.as_str();
        self.properties.has_library_fields |= LIBRARY_FIELDS.contains(&name);
        let definition = self.definition(parent, name);
        let has_variables =
            |it: &Node<ast::Argument>| convert_value(&it.value).into_const().is_none();
        self.properties.complexity_depends_on_variables |= definition
            .is_some_and(|it| it.compute_complexity.is_some())
            && field.arguments.iter().any(has_variables);
        let ty = definition.map_or("", |it| MetaTypeName::concrete_typename(&it.ty));
        let mut selections = fields.iter().flat_map(|field| &field.selection_set);
        let mut node = library::Field {
            alias: field.alias.as_ref().map(|alias| self.name(alias)),
            name: self.name(&field.name),
            arguments: self.arguments(&field.arguments),
            directives: self.directives(&field.directives),
            selection_set: self.selection_set(pos, ty, &mut selections),
        };
        let parent_type = self.registry.types.get(parent);
        let is_of_interface = matches!(parent_type, Some(MetaType::Interface { .. }));
        if self.is_nullable(parent, name) {
            OnError::Null.add_to(&mut node, pos);
        } else if is_of_interface || name == ENTITIES {
            OnError::AddPath.add_to(&mut node, pos);
        }
        let node = Positioned::new(node, pos);
        Some(Positioned::new(library::Selection::Field(node), pos))
    }

    /// Returns the definition of a field. Returns `None` for `__typename` and for introspection, which never fail.
    fn definition(&self, parent: &str, field: &str) -> Option<&'t MetaField> {
        let is_introspection = parent.starts_with("__") || field.starts_with("__");
        let parent = self
            .registry
            .types
            .get(parent)
            .filter(|_| !is_introspection)?;
        parent.field_by_name(field)
    }

    /// Returns whether a field is nullable in its parent type and in all types that implement it. A field of an interface
    /// can be nullable in the interface and non-null in an object.
    fn is_nullable(&self, parent: &str, field: &str) -> bool {
        let is_nullable = |ty| {
            let definition = self.definition(ty, field);
            definition.is_some_and(|definition| !definition.ty.ends_with('!'))
        };
        is_nullable(parent) && self.possible_types(parent).into_iter().all(is_nullable)
    }

    /// Returns whether the selections of a fragment can replace the fragment: whether the fragment applies to each object of
    /// its parent type, which has all selected fields. A union has no fields.
    fn is_redundant(&self, parent: &str, condition: &str) -> bool {
        let ty = |name| self.registry.types.get(name);
        let has_fields = matches!(ty(parent), Some(MetaType::Object { .. }))
            || matches!(ty(condition), Some(MetaType::Union { .. }));
        let types = self.possible_types(condition);
        let mut parents = self.possible_types(parent).into_iter();
        parent == condition || has_fields && parents.all(|ty| types.contains(&ty))
    }

    /// Returns the names of the objects of an object, an interface or a union.
    fn possible_types<'n>(&self, name: &'n str) -> Vec<&'n str>
    where
        't: 'n,
    {
        let ty = self.registry.types.get(name);
        match ty.and_then(MetaType::possible_types) {
            Some(types) => types.iter().map(String::as_str).collect(),
            None => vec![name],
        }
    }

    fn directives(&self, directives: &ast::DirectiveList) -> Vec<Positioned<library::Directive>> {
        let convert = |directive: &Node<ast::Directive>| {
            let pos = self.pos(directive.location());
            let node = library::Directive {
                name: self.name(&directive.name),
                arguments: self.arguments(&directive.arguments),
            };
            Positioned::new(node, pos)
        };
        directives.iter().map(convert).collect()
    }

    fn arguments(
        &self,
        arguments: &[Node<ast::Argument>],
    ) -> Vec<(Positioned<LibraryName>, Positioned<LibraryValue>)> {
        let convert = |argument: &Node<ast::Argument>| {
            let name = self.name(&argument.name);
            let pos = self.pos(argument.value.location());
            (name, Positioned::new(convert_value(&argument.value), pos))
        };
        arguments.iter().map(convert).collect()
    }
}

/// Converts a value of a document whose numbers are within range.
pub(super) fn convert_value(node: &ast::Value) -> LibraryValue {
    let name = |name: &Name| LibraryName::new(name);
    match node {
        ast::Value::Null => LibraryValue::Null,
        ast::Value::Enum(text) => LibraryValue::Enum(name(text)),
        ast::Value::Variable(text) => LibraryValue::Variable(name(text)),
        ast::Value::String(text) => LibraryValue::String(text.clone()),
        ast::Value::Int(int) => number(int.as_str()),
        ast::Value::Float(float) => number(float.as_str()),
        ast::Value::Boolean(value) => LibraryValue::Boolean(*value),
        ast::Value::List(items) => {
            LibraryValue::List(items.iter().map(|it| convert_value(it)).collect())
        }
        ast::Value::Object(fields) => {
            let fields = fields.iter();
            LibraryValue::Object(
                fields
                    .map(|(key, it)| (name(key), convert_value(it)))
                    .collect(),
            )
        }
    }
}

fn number(text: &str) -> LibraryValue {
    // `Number` represents "-0" as a floating-point number.
    let parsed = if text == "-0" { "0" } else { text }.parse::<Number>();
    parsed.map_or(LibraryValue::Null, LibraryValue::Number)
}

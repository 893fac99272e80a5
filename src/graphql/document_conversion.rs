//! Converts documents from the types of apollo-compiler to the types that async-graphql executes.

use apollo_compiler::ast;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};
use async_graphql::parser::types as library;
use async_graphql::{Name as LibraryName, Number, Pos, Positioned};
use async_graphql_value::Value as LibraryValue;

use crate::error::Position;
use crate::graphql::document_positions::Positions;

impl From<Position> for Pos {
    fn from(Position { line, column }: Position) -> Self {
        Self { line, column }
    }
}

/// Converts the nodes of a document.
pub(super) struct Conversion<'t>(Positions<'t>);

impl<'t> Conversion<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self(Positions::new(text))
    }

    pub(super) fn operation(
        &self,
        operation: &Node<ast::OperationDefinition>,
    ) -> Positioned<library::OperationDefinition> {
        let pos = self.pos(operation.location());
        let variables = operation.variables.iter();
        let definition = library::OperationDefinition {
            ty: match operation.operation_type {
                ast::OperationType::Query => library::OperationType::Query,
                ast::OperationType::Mutation => library::OperationType::Mutation,
                ast::OperationType::Subscription => library::OperationType::Subscription,
            },
            variable_definitions: variables.map(|it| self.variable_definition(it)).collect(),
            directives: self.directives(&operation.directives),
            selection_set: self.selection_set(pos, &operation.selection_set),
        };
        Positioned::new(definition, pos)
    }

    pub(super) fn fragment(
        &self,
        fragment: &Node<ast::FragmentDefinition>,
    ) -> Positioned<library::FragmentDefinition> {
        let pos = self.pos(fragment.location());
        let definition = library::FragmentDefinition {
            type_condition: self.type_condition(&fragment.type_condition),
            directives: self.directives(&fragment.directives),
            selection_set: self.selection_set(pos, &fragment.selection_set),
        };
        Positioned::new(definition, pos)
    }

    fn pos(&self, span: Option<SourceSpan>) -> Pos {
        self.0.of(span).into()
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

    fn selection_set(
        &self,
        parent: Pos,
        selections: &[ast::Selection],
    ) -> Positioned<library::SelectionSet> {
        let items = selections.iter().map(|selection| match selection {
            ast::Selection::Field(field) => self.field(field),
            ast::Selection::FragmentSpread(spread) => self.spread(spread),
            ast::Selection::InlineFragment(inline) => self.inline_fragment(inline),
        });
        let items = items.collect();
        Positioned::new(library::SelectionSet { items }, parent)
    }

    fn field(&self, field: &Node<ast::Field>) -> Positioned<library::Selection> {
        let pos = self.pos(field.location());
        let node = library::Field {
            alias: field.alias.as_ref().map(|alias| self.name(alias)),
            name: self.name(&field.name),
            arguments: self.arguments(&field.arguments),
            directives: self.directives(&field.directives),
            selection_set: self.selection_set(pos, &field.selection_set),
        };
        Positioned::new(library::Selection::Field(Positioned::new(node, pos)), pos)
    }

    fn spread(&self, spread: &Node<ast::FragmentSpread>) -> Positioned<library::Selection> {
        let pos = self.pos(spread.location());
        let node = library::FragmentSpread {
            fragment_name: self.name(&spread.fragment_name),
            directives: self.directives(&spread.directives),
        };
        let node = Positioned::new(node, pos);
        Positioned::new(library::Selection::FragmentSpread(node), pos)
    }

    fn inline_fragment(
        &self,
        inline: &Node<ast::InlineFragment>,
    ) -> Positioned<library::Selection> {
        let pos = self.pos(inline.location());
        let on = inline.type_condition.as_ref();
        let node = library::InlineFragment {
            type_condition: on.map(|on| self.type_condition(on)),
            directives: self.directives(&inline.directives),
            selection_set: self.selection_set(pos, &inline.selection_set),
        };
        let node = Positioned::new(node, pos);
        Positioned::new(library::Selection::InlineFragment(node), pos)
    }

    fn type_condition(&self, on: &Name) -> Positioned<library::TypeCondition> {
        let on = self.name(on);
        Positioned::new(library::TypeCondition { on: on.clone() }, on.pos)
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

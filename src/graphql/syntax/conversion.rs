//! Converts the syntax tree to the types that async-graphql executes.

use async_graphql::parser::types as library;
use async_graphql::{Name as LibraryName, Number, Pos, Positioned};
use async_graphql_value::Value as LibraryValue;

use crate::error::Position;
use crate::graphql::syntax::ast::{
    Argument, Directive, Field, Fragment, InlineFragment, Name, Operation, Selection, SelectionSet,
    Spread, Value, ValueKind, VariableDefinition,
};

impl From<Position> for Pos {
    fn from(Position { line, column }: Position) -> Self {
        Self { line, column }
    }
}

fn positioned<T>(position: Position, node: T) -> Positioned<T> {
    Positioned::new(node, position.into())
}

impl Name<'_> {
    fn to_library(self) -> Positioned<LibraryName> {
        positioned(self.position, LibraryName::new(self.text))
    }
}

impl Operation<'_> {
    pub(crate) fn to_library(&self) -> Positioned<library::OperationDefinition> {
        let variables = self.variables.iter();
        let definition = library::OperationDefinition {
            ty: self.ty,
            variable_definitions: variables.map(VariableDefinition::to_library).collect(),
            directives: directives(&self.directives),
            selection_set: self.selections.to_library(),
        };
        positioned(self.position, definition)
    }
}

impl Fragment<'_> {
    pub(crate) fn to_library(&self) -> Positioned<library::FragmentDefinition> {
        let definition = library::FragmentDefinition {
            type_condition: type_condition(self.on),
            directives: directives(&self.directives),
            selection_set: self.selections.to_library(),
        };
        positioned(self.position, definition)
    }
}

impl VariableDefinition<'_> {
    fn to_library(&self) -> Positioned<library::VariableDefinition> {
        let default = self.default.as_ref().and_then(|value| {
            let constant = value.to_library().into_const()?;
            Some(positioned(value.position, constant))
        });
        // The text is well-formed, so the second type is never used.
        let ty = library::Type::new(&self.ty.text).unwrap_or(library::Type {
            base: library::BaseType::Named(LibraryName::new(self.ty.name.text)),
            nullable: true,
        });
        let definition = library::VariableDefinition {
            name: self.name.to_library(),
            var_type: positioned(self.ty.position, ty),
            directives: directives(&self.directives),
            default_value: default,
        };
        positioned(self.position, definition)
    }
}

impl SelectionSet<'_> {
    fn to_library(&self) -> Positioned<library::SelectionSet> {
        let items = self.items.iter().map(|selection| match selection {
            Selection::Field(field) => {
                let node = field.to_library();
                positioned(field.position, library::Selection::Field(node))
            }
            Selection::Spread(spread) => {
                let node = spread.to_library();
                positioned(spread.position, library::Selection::FragmentSpread(node))
            }
            Selection::Inline(inline) => {
                let node = inline.to_library();
                positioned(inline.position, library::Selection::InlineFragment(node))
            }
        });
        let items = items.collect();
        positioned(self.position, library::SelectionSet { items })
    }
}

impl Field<'_> {
    fn to_library(&self) -> Positioned<library::Field> {
        let selections = self.selections.as_ref();
        let field = library::Field {
            alias: self.alias.map(Name::to_library),
            name: self.name.to_library(),
            arguments: arguments(&self.arguments),
            directives: directives(&self.directives),
            selection_set: selections.map(SelectionSet::to_library).unwrap_or_default(),
        };
        positioned(self.position, field)
    }
}

impl Spread<'_> {
    fn to_library(&self) -> Positioned<library::FragmentSpread> {
        let spread = library::FragmentSpread {
            fragment_name: self.name.to_library(),
            directives: directives(&self.directives),
        };
        positioned(self.position, spread)
    }
}

impl InlineFragment<'_> {
    fn to_library(&self) -> Positioned<library::InlineFragment> {
        let inline = library::InlineFragment {
            type_condition: self.on.map(type_condition),
            directives: directives(&self.directives),
            selection_set: self.selections.to_library(),
        };
        positioned(self.position, inline)
    }
}

impl Value<'_> {
    pub(crate) fn to_library(&self) -> LibraryValue {
        let name = |text: &str| LibraryName::new(text);
        // Validation refuses numbers that are out of range.
        let number = |text: &str| {
            // `Number` represents "-0" as a floating-point number.
            let parsed = if text == "-0" { "0" } else { text }.parse::<Number>();
            parsed.map_or(LibraryValue::Null, LibraryValue::Number)
        };
        match &self.kind {
            ValueKind::Variable(text) => LibraryValue::Variable(name(text)),
            ValueKind::Int(text) | ValueKind::Float(text) => number(text),
            ValueKind::String(text) => LibraryValue::String(text.clone()),
            ValueKind::Boolean(value) => LibraryValue::Boolean(*value),
            ValueKind::Null => LibraryValue::Null,
            ValueKind::Enum(text) => LibraryValue::Enum(name(text)),
            ValueKind::List(items) => {
                LibraryValue::List(items.iter().map(Value::to_library).collect())
            }
            ValueKind::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|field| (name(field.name.text), field.value.to_library()));
                LibraryValue::Object(fields.collect())
            }
        }
    }
}

fn type_condition(on: Name<'_>) -> Positioned<library::TypeCondition> {
    let on = on.to_library();
    Positioned::new(library::TypeCondition { on: on.clone() }, on.pos)
}

fn directives(directives: &[Directive<'_>]) -> Vec<Positioned<library::Directive>> {
    let convert = |directive: &Directive<'_>| {
        let node = library::Directive {
            name: directive.name.to_library(),
            arguments: arguments(&directive.arguments),
        };
        positioned(directive.position, node)
    };
    directives.iter().map(convert).collect()
}

fn arguments(
    arguments: &[Argument<'_>],
) -> Vec<(Positioned<LibraryName>, Positioned<LibraryValue>)> {
    let convert = |Argument { name, value }: &Argument<'_>| {
        let value = positioned(value.position, value.to_library());
        (name.to_library(), value)
    };
    arguments.iter().map(convert).collect()
}

//! Rules of validation that apollo-compiler 1.33 does not implement (docs/apollo-compiler-issues.md).

use std::collections::HashMap;

use apollo_compiler::{Name, Node, ast};
use async_graphql::Number;

use crate::config::Limits;
use crate::error::DocumentError;
use crate::graphql::document_positions::Positions;

/// Returns the errors in a document that has no syntax errors.
pub(super) fn check(text: &str, document: &ast::Document, limits: &Limits) -> Vec<DocumentError> {
    let mut checker = Checker {
        positions: Positions::new(text),
        introspection: limits.introspection,
        errors: Vec::new(),
    };
    for definition in &document.definitions {
        match definition {
            ast::Definition::OperationDefinition(operation) => {
                for variable in &operation.variables {
                    if let Some(default) = &variable.default_value {
                        checker.value(default);
                    }
                    checker.directives(&variable.directives);
                }
                checker.directives(&operation.directives);
                checker.selections(&operation.selection_set);
            }
            ast::Definition::FragmentDefinition(fragment) => {
                checker.directives(&fragment.directives);
                checker.selections(&fragment.selection_set);
            }
            // apollo-compiler refuses other definitions.
            _ => {}
        }
    }
    checker.errors
}

struct Checker<'t> {
    positions: Positions<'t>,
    introspection: bool,
    errors: Vec<DocumentError>,
}

impl Checker<'_> {
    fn selections(&mut self, selections: &[ast::Selection]) {
        for selection in selections {
            match selection {
                ast::Selection::Field(field) => {
                    self.field(field);
                    self.arguments(&field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selection_set);
                }
                ast::Selection::FragmentSpread(spread) => self.directives(&spread.directives),
                ast::Selection::InlineFragment(inline) => {
                    self.directives(&inline.directives);
                    self.selections(&inline.selection_set);
                }
            }
        }
    }

    fn field(&mut self, field: &Node<ast::Field>) {
        if !self.introspection && matches!(field.name.as_str(), "__schema" | "__type") {
            self.errors.push(DocumentError {
                positions: vec![self.positions.of(field.location())],
                message: format!(
                    "introspection is disabled: remove the field `{}`",
                    field.name
                ),
            });
        }
    }

    fn directives(&mut self, directives: &ast::DirectiveList) {
        for directive in directives.iter() {
            self.arguments(&directive.arguments);
        }
    }

    fn arguments(&mut self, arguments: &[Node<ast::Argument>]) {
        for argument in arguments {
            self.value(&argument.value);
        }
    }

    fn value(&mut self, value: &Node<ast::Value>) {
        match &**value {
            ast::Value::Int(number) => self.number(value, number.as_str()),
            ast::Value::Float(number) => self.number(value, number.as_str()),
            ast::Value::List(items) => items.iter().for_each(|item| self.value(item)),
            ast::Value::Object(fields) => self.object(fields),
            _ => {}
        }
    }

    /// Checks that async-graphql can represent a number.
    fn number(&mut self, value: &Node<ast::Value>, text: &str) {
        if text.parse::<Number>().is_err() {
            self.errors.push(DocumentError {
                positions: vec![self.positions.of(value.location())],
                message: "the number is out of range".to_owned(),
            });
        }
    }

    /// Checks that the fields of an input object are unique
    /// ([GraphQL specification, section 5.6.3](https://spec.graphql.org/September2025/#sec-Input-Object-Field-Uniqueness)).
    fn object(&mut self, fields: &[(Name, Node<ast::Value>)]) {
        let mut seen = HashMap::new();
        for (name, value) in fields {
            let position = self.positions.of(name.location());
            match seen.get(name) {
                Some(first) => self.errors.push(DocumentError {
                    positions: vec![*first, position],
                    message: format!("the field `{name}` is provided multiple times"),
                }),
                None => {
                    seen.insert(name, position);
                }
            }
            self.value(value);
        }
    }
}

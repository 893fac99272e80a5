//! Rules of syntax and of validation that apollo-compiler 1.33 does not implement
//! (docs/apollo-compiler-issues.md).

use std::collections::{HashMap, HashSet};

use apollo_compiler::ast::{Argument, Definition, Directive, Document, Type, Value};
use apollo_compiler::ast::{InputValueDefinition, Selection, VariableDefinition};
use apollo_compiler::executable::{ExecutableDocument, Selection as TypedSelection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node, Schema};
use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode};
use async_graphql::Number;
use async_graphql::registry::{MetaType, Registry};

use crate::config::Limits;
use crate::error::DocumentError;
use crate::graphql::document_conversion::convert_value;
use crate::graphql::document_positions::Positions;

/// Returns the offset of the first syntax error in bytes. The parser continues after an error, and accepts
/// arguments and input object fields that have no value.
pub(super) fn check_syntax(text: &str, recursion_limit: usize) -> Option<usize> {
    let tree = Parser::new(text).recursion_limit(recursion_limit).parse();
    let document = tree.document();
    let incomplete = document.syntax().descendants().filter(|node| {
        let argument = cst::Argument::cast(node.clone());
        let field = cst::ObjectField::cast(node.clone());
        argument.is_some_and(|argument| argument.colon_token().is_none())
            || field.is_some_and(|field| field.colon_token().is_none())
    });
    let incomplete = incomplete.map(|node| usize::from(node.text_range().start()));
    tree.errors()
        .map(apollo_parser::Error::index)
        .chain(incomplete)
        .min()
}

/// Checks the values in a document that has no syntax errors, without their types. Checks that introspection
/// is not used if it is disabled.
pub(super) fn check_values(text: &str, document: &Document, limits: &Limits) -> Vec<DocumentError> {
    let mut checker = ValueChecker {
        positions: Positions::new(text),
        introspection: limits.introspection,
        errors: Vec::new(),
    };
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => {
                for variable in &operation.variables {
                    if let Some(default) = &variable.default_value {
                        checker.value(default);
                    }
                    checker.directives(&variable.directives);
                }
                checker.directives(&operation.directives);
                checker.selections(&operation.selection_set);
            }
            Definition::FragmentDefinition(fragment) => {
                checker.directives(&fragment.directives);
                checker.selections(&fragment.selection_set);
            }
            // apollo-compiler refuses other definitions.
            _ => {}
        }
    }
    checker.errors
}

struct ValueChecker<'t> {
    positions: Positions<'t>,
    introspection: bool,
    errors: Vec<DocumentError>,
}

impl ValueChecker<'_> {
    fn selections(&mut self, selections: &[Selection]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let name = field.name.as_str();
                    let is_introspection = matches!(name, "__schema" | "__type" | "_service");
                    if is_introspection && !self.introspection {
                        self.errors.push(DocumentError {
                            positions: vec![self.positions.of(field.location())],
                            message: "introspection is disabled".to_owned(),
                        });
                    }
                    self.arguments(&field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selection_set);
                }
                Selection::FragmentSpread(spread) => self.directives(&spread.directives),
                Selection::InlineFragment(inline) => {
                    self.directives(&inline.directives);
                    self.selections(&inline.selection_set);
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Node<Directive>]) {
        for directive in directives {
            self.arguments(&directive.arguments);
        }
    }

    fn arguments(&mut self, arguments: &[Node<Argument>]) {
        for argument in arguments {
            self.value(&argument.value);
        }
    }

    fn value(&mut self, value: &Node<Value>) {
        match &**value {
            Value::Int(number) => self.number(value, number.as_str()),
            Value::Float(number) => self.number(value, number.as_str()),
            Value::List(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(fields) => self.object(fields),
            _ => {}
        }
    }

    /// Checks that async-graphql can represent a number.
    fn number(&mut self, value: &Node<Value>, text: &str) {
        if text.parse::<Number>().is_err() {
            self.errors.push(DocumentError {
                positions: vec![self.positions.of(value.location())],
                message: "the number is out of range".to_owned(),
            });
        }
    }

    /// Checks that the fields of an input object are unique
    /// ([section 5.6.3](https://spec.graphql.org/September2025/#sec-Input-Object-Field-Uniqueness)).
    fn object(&mut self, fields: &[(Name, Node<Value>)]) {
        let mut seen = HashMap::new();
        for (name, value) in fields {
            let position = self.positions.of(name.location());
            if let Some(first) = seen.get(name) {
                self.errors.push(DocumentError {
                    positions: vec![*first, position],
                    message: format!("the field `{name}` is provided multiple times"),
                });
            } else {
                seen.insert(name, position);
            }
            self.value(value);
        }
    }
}

/// Checks the types of variables at their usages
/// ([section 5.8.5](https://spec.graphql.org/September2025/#sec-All-Variable-Usages-Are-Allowed)), the values of
/// custom scalars, and that a `@oneOf` input object has exactly one field.
pub(super) fn check_types(
    text: &str,
    document: &Valid<ExecutableDocument>,
    schema: &Schema,
    registry: &Registry,
) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for operation in document.operations.iter() {
        let mut checker = TypeChecker {
            positions: Positions::new(text),
            document,
            schema,
            registry,
            variables: &operation.variables,
            visited: HashSet::new(),
            errors: &mut errors,
        };
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                checker.value(&variable.ty, false, default);
            }
        }
        checker.directives(&operation.directives);
        checker.selections(&operation.selection_set);
    }
    errors
}

struct TypeChecker<'d> {
    positions: Positions<'d>,
    document: &'d ExecutableDocument,
    schema: &'d Schema,
    registry: &'d Registry,
    variables: &'d [Node<VariableDefinition>],
    /// The names of the fragments that have been visited.
    visited: HashSet<&'d Name>,
    errors: &'d mut Vec<DocumentError>,
}

impl<'d> TypeChecker<'d> {
    fn selections(&mut self, set: &'d SelectionSet) {
        for selection in &set.selections {
            match selection {
                TypedSelection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selection_set);
                }
                TypedSelection::InlineFragment(inline) => {
                    self.directives(&inline.directives);
                    self.selections(&inline.selection_set);
                }
                TypedSelection::FragmentSpread(spread) => {
                    self.directives(&spread.directives);
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                        && self.visited.insert(&fragment.name)
                    {
                        self.directives(&fragment.directives);
                        self.selections(&fragment.selection_set);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Node<Directive>]) {
        for directive in directives {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&definition.arguments, &directive.arguments);
            }
        }
    }

    fn arguments(
        &mut self,
        definitions: &[Node<InputValueDefinition>],
        arguments: &[Node<Argument>],
    ) {
        for argument in arguments {
            let mut definitions = definitions.iter();
            if let Some(definition) = definitions.find(|it| it.name == argument.name) {
                let has_default = definition.default_value.is_some();
                self.value(&definition.ty, has_default, &argument.value);
            }
        }
    }

    /// Checks a value at a location whose type is `ty`. `has_default` is whether the location has a default
    /// value.
    fn value(&mut self, ty: &Type, has_default: bool, value: &Node<Value>) {
        match &**value {
            Value::Variable(name) => self.variable(ty, has_default, name, value),
            Value::List(items) if ty.is_list() => {
                for item in items {
                    self.value(ty.item_type(), false, item);
                }
            }
            Value::Null => {}
            _ => {
                self.custom_scalar(ty, value);
                if let Value::Object(fields) = &**value {
                    self.object(ty, value, fields);
                }
            }
        }
    }

    fn custom_scalar(&mut self, ty: &Type, value: &Node<Value>) {
        let name = ty.inner_named_type();
        let is_built_in = (self.schema.types.get(name)).is_none_or(ExtendedType::is_built_in);
        let Some(MetaType::Scalar {
            is_valid: Some(is_valid),
            ..
        }) = self
            .registry
            .types
            .get(name.as_str())
            .filter(|_| !is_built_in)
        else {
            return;
        };
        // A value with variables is checked when the resolver reads it.
        let constant = convert_value(value).into_const();
        if constant.is_some_and(|constant| !is_valid(&constant)) {
            self.errors.push(DocumentError {
                positions: vec![self.positions.of(value.location())],
                message: format!("the value is not a valid `{name}`"),
            });
        }
    }

    fn object(&mut self, ty: &Type, value: &Node<Value>, fields: &[(Name, Node<Value>)]) {
        let Some(object) = self.schema.get_input_object(ty.inner_named_type()) else {
            return;
        };
        let is_one_of = object.directives.has("oneOf");
        if is_one_of && !matches!(fields, [(_, value)] if !value.is_null()) {
            self.errors.push(DocumentError {
                positions: vec![self.positions.of(value.location())],
                message: format!("expected exactly one field of `{}`", object.name),
            });
        }
        for (name, value) in fields {
            let Some(field) = object.fields.get(name) else {
                continue;
            };
            if is_one_of {
                self.value(&(*field.ty).clone().non_null(), false, value);
            } else {
                self.value(&field.ty, field.default_value.is_some(), value);
            }
        }
    }

    fn variable(&mut self, ty: &Type, has_default: bool, name: &Name, value: &Node<Value>) {
        let variable = self.variables.iter().find(|it| it.name == *name);
        let Some(variable) = variable else {
            return;
        };
        let default = variable.default_value.as_ref();
        let is_given = has_default || default.is_some_and(|default| !default.is_null());
        let location = if is_given && !variable.ty.is_non_null() {
            ty.clone().nullable()
        } else {
            ty.clone()
        };
        if !variable.ty.is_assignable_to(&location) {
            let positions = [variable.location(), value.location()];
            self.errors.push(DocumentError {
                positions: positions.map(|span| self.positions.of(span)).to_vec(),
                message: format!(
                    "the variable `${name}` of the type `{}` cannot be used for the type `{ty}`",
                    variable.ty
                ),
            });
        }
    }
}

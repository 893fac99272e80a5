//! Checks the values of variables before execution
//! ([GraphQL specification, section 6.1.2](https://spec.graphql.org/October2021/#sec-Coercing-Variable-Values)).
//! async-graphql checks only variables that are used, and only when it executes the field that uses them.

use std::sync::Arc;

use async_graphql::parser::types::{BaseType, OperationDefinition, Type};
use async_graphql::registry::{MetaInputValue, MetaType, Registry};
use async_graphql::{Value, Variables};

use crate::error::{DocumentError, Error, Position};

/// The maximum number of errors in the variables of a request, as in graphql-js.
const MAX_ERRORS: usize = 50;

/// Checks that each variable of an operation has a value of its declared type, and returns the values,
/// including the default values. Other values are dropped, because a subscription would keep them in
/// memory.
pub(super) fn coerce(
    registry: &Registry,
    operation: &OperationDefinition,
    mut given: Variables,
) -> Result<Variables, Error> {
    let mut values = Variables::default();
    let mut errors = Vec::new();
    for definition in &operation.variable_definitions {
        let position = definition.pos;
        let definition = &definition.node;
        let name = &definition.name.node;
        let ty = &definition.var_type.node;
        let mut problems = Vec::new();
        match given.remove_entry(name) {
            Some((name, value)) => {
                check_value(registry, ty, &value, &mut problems);
                values.insert(name, value);
            }
            None => match &definition.default_value {
                // Without this value, `@skip` and `@include` of async-graphql ignore the default value.
                Some(default) => {
                    values.insert(name.clone(), default.node.clone());
                }
                None if ty.nullable => {}
                None => problems.push(format!("a value of the type {ty} is required")),
            },
        }
        errors.extend(problems.into_iter().map(|problem| DocumentError {
            positions: vec![Position {
                line: position.line,
                column: position.column,
            }],
            message: format!("The variable ${name} is not valid: {problem}."),
        }));
    }
    if errors.is_empty() {
        return Ok(values);
    }
    errors.truncate(MAX_ERRORS);
    Err(Error::InvalidVariables(Arc::from(errors)))
}

/// Adds a description of each invalid part of a value to `problems`.
fn check_value(registry: &Registry, ty: &Type, value: &Value, problems: &mut Vec<String>) {
    if problems.len() >= MAX_ERRORS {
        return;
    }
    let is_valid = match (&ty.base, value) {
        (_, Value::Null) => ty.nullable,
        (BaseType::List(item), Value::List(values)) => {
            for value in values {
                check_value(registry, item, value, problems);
            }
            true
        }
        // A single value is coerced to a list of one item.
        (BaseType::List(item), value) => {
            check_value(registry, item, value, problems);
            true
        }
        (BaseType::Named(name), value) => match (name.as_str(), value) {
            ("Int", Value::Number(number)) => number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            ("Float", Value::Number(_))
            | ("String" | "ID", Value::String(_))
            | ("Boolean", Value::Boolean(_)) => true,
            ("ID", Value::Number(number)) => !number.is_f64(),
            ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
            (name, value) => match (registry.types.get(name), value) {
                (Some(MetaType::Enum { enum_values, .. }), Value::String(value)) => {
                    enum_values.contains_key(value)
                }
                (Some(ty @ MetaType::InputObject { .. }), value @ Value::Object(_)) => {
                    check_object(registry, ty, value, problems);
                    true
                }
                (Some(MetaType::Enum { .. } | MetaType::InputObject { .. }), _) => false,
                (Some(MetaType::Scalar { is_valid, .. }), value) => {
                    is_valid.as_ref().is_none_or(|is_valid| is_valid(value))
                }
                // Validation refuses unknown types and output types.
                _ => true,
            },
        },
    };
    if !is_valid {
        problems.push(format!("expected a value of the type {ty}"));
    }
}

fn check_object(registry: &Registry, ty: &MetaType, value: &Value, problems: &mut Vec<String>) {
    let (
        MetaType::InputObject {
            name,
            input_fields,
            oneof,
            ..
        },
        Value::Object(object),
    ) = (ty, value)
    else {
        return;
    };
    for field in input_fields.values() {
        let mut inner = Vec::new();
        check_field(registry, field, object.get(field.name.as_str()), &mut inner);
        problems.extend(
            inner
                .iter()
                .map(|problem| format!("{}: {problem}", field.name)),
        );
    }
    let unknown = object
        .keys()
        .filter(|key| !input_fields.contains_key(key.as_str()));
    problems.extend(unknown.map(|key| format!("{name} has no field {key}")));
    let has_null = object.values().any(|value| *value == Value::Null);
    if *oneof && (object.len() != 1 || has_null) {
        problems.push(format!("expected exactly one field of {name}"));
    }
}

fn check_field(
    registry: &Registry,
    field: &MetaInputValue,
    value: Option<&Value>,
    problems: &mut Vec<String>,
) {
    // The types in a schema are well-formed, so parsing does not fail.
    let Some(ty) = Type::new(&field.ty) else {
        return;
    };
    match value {
        Some(value) => check_value(registry, &ty, value, problems),
        None if ty.nullable || field.default_value.is_some() => {}
        None => problems.push(format!("a value of the type {ty} is required")),
    }
}

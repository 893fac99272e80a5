//! Checks the values of variables before execution
//! ([GraphQL specification, section 6.1.2](https://spec.graphql.org/October2021/#sec-Coercing-Variable-Values)).
//! async-graphql checks only variables that are used, and only when it executes the field that uses them.

use async_graphql::parser::types::{BaseType, OperationDefinition, Type};
use async_graphql::registry::{MetaInputValue, MetaType, Registry};
use async_graphql::{Error as GraphqlError, Pos, ServerResult, Value, Variables};

use crate::error::Error;

/// Checks that each variable of an operation has a value of its declared type. Returns an error for the
/// first variable without a valid value.
pub(super) fn check(
    registry: &Registry,
    operation: &OperationDefinition,
    variables: &Variables,
) -> ServerResult<()> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        let ty = &definition.var_type.node;
        let result = match variables.get(name) {
            None if definition.default_value().is_some() => Ok(()),
            None => Err(format!("is required. Give it a value of the type {ty}")),
            Some(value) => check_value(registry, ty, value)
                .map_err(|message| format!("is not valid: {message}")),
        };
        result.map_err(|message| {
            let error = Error::BadUserInput(format!("The variable ${name} {message}."));
            GraphqlError::new_with_source(error).into_server_error(Pos::default())
        })?;
    }
    Ok(())
}

fn check_value(registry: &Registry, ty: &Type, value: &Value) -> Result<(), String> {
    let is_valid = match (&ty.base, value) {
        (_, Value::Null) => ty.nullable,
        (BaseType::List(item), Value::List(values)) => {
            return values
                .iter()
                .try_for_each(|value| check_value(registry, item, value));
        }
        // A single value is coerced to a list of one item.
        (BaseType::List(item), value) => return check_value(registry, item, value),
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
                (
                    Some(MetaType::InputObject {
                        input_fields,
                        oneof,
                        ..
                    }),
                    Value::Object(object),
                ) => {
                    let is_known = |key: &str| input_fields.contains_key(key);
                    if let Some(unknown) = object.keys().find(|key| !is_known(key)) {
                        return Err(format!("{name} has no field {unknown}"));
                    }
                    let has_null = object.values().any(|value| *value == Value::Null);
                    if *oneof && (object.len() != 1 || has_null) {
                        return Err(format!("expected exactly one field of {name}"));
                    }
                    return input_fields.values().try_for_each(|field| {
                        check_field(registry, field, object.get(field.name.as_str()))
                            .map_err(|message| format!("{}: {message}", field.name))
                    });
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
    if is_valid {
        Ok(())
    } else {
        Err(format!("expected a value of the type {ty}"))
    }
}

fn check_field(
    registry: &Registry,
    field: &MetaInputValue,
    value: Option<&Value>,
) -> Result<(), String> {
    // The types in a schema are well-formed, so parsing does not fail.
    let Some(ty) = Type::new(&field.ty) else {
        return Ok(());
    };
    match value {
        Some(value) => check_value(registry, &ty, value),
        None if ty.nullable || field.default_value.is_some() => Ok(()),
        None => Err(format!("a value of the type {ty} is required")),
    }
}

//! Check the values of variables against their declarations, before anything is executed (GraphQL
//! specification, section 6.1.2): the library looks only at the variables that are used, and only
//! where they are.

use async_graphql::parser::types::{BaseType, OperationDefinition, Type};
use async_graphql::registry::{MetaInputValue, MetaType, Registry};
use async_graphql::{Error as GraphqlError, Pos, ServerResult, Value, Variables};

use crate::error::Error;

/// Errs with the first variable whose value is missing or not of its type.
pub(super) fn check(
    registry: &Registry,
    operation: &OperationDefinition,
    variables: &Variables,
) -> ServerResult<()> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        let declared = &definition.var_type.node;
        let checked = match variables.get(name) {
            None if definition.default_value().is_some() => Ok(()),
            None => Err(format!("of the type {declared} is not given")),
            Some(value) => matches(registry, declared, value),
        };
        checked.map_err(|why| {
            let why = Error::BadUserInput(format!("The variable ${name} {why}."));
            GraphqlError::new_with_source(why).into_server_error(Pos::default())
        })?;
    }
    Ok(())
}

fn matches(registry: &Registry, declared: &Type, value: &Value) -> Result<(), String> {
    let refuse = || Err(format!("has a value that is no {declared}"));
    match (&declared.base, value) {
        (_, Value::Null) if declared.nullable => Ok(()),
        (_, Value::Null) => refuse(),
        (BaseType::List(each), Value::List(values)) => values
            .iter()
            .try_for_each(|value| matches(registry, each, value)),
        // A single value stands for a list of it.
        (BaseType::List(each), value) => matches(registry, each, value),
        (BaseType::Named(name), value) => {
            let fits = match (name.as_str(), value) {
                ("Int", Value::Number(number)) => number
                    .as_i64()
                    .is_some_and(|number| i32::try_from(number).is_ok()),
                ("Float", Value::Number(_))
                | ("String" | "ID", Value::String(_))
                | ("Boolean", Value::Boolean(_)) => true,
                ("ID", Value::Number(number)) => !number.is_f64(),
                ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
                (name, value) => {
                    return matches_defined(registry, name, value)
                        .or_else(|why| why.map_or_else(refuse, Err));
                }
            };
            if fits { Ok(()) } else { refuse() }
        }
    }
}

/// A value of a type that the schema defines; the error may say more than that it is none.
fn matches_defined(registry: &Registry, name: &str, value: &Value) -> Result<(), Option<String>> {
    match (registry.types.get(name), value) {
        (Some(MetaType::Enum { enum_values, .. }), Value::String(value)) => {
            if enum_values.contains_key(value) {
                Ok(())
            } else {
                Err(None)
            }
        }
        (
            Some(MetaType::InputObject {
                input_fields,
                oneof,
                ..
            }),
            Value::Object(object),
        ) => {
            if let Some(unknown) = object
                .keys()
                .find(|key| !input_fields.contains_key(key.as_str()))
            {
                return Err(Some(format!(
                    "has the field {unknown}, which {name} has not"
                )));
            }
            if *oneof && (object.len() != 1 || object.values().any(|value| *value == Value::Null)) {
                return Err(Some(format!("has to have exactly one field of {name}")));
            }
            for field in input_fields.values() {
                matches_field(registry, field, object.get(field.name.as_str())).map_err(Some)?;
            }
            Ok(())
        }
        (Some(MetaType::Enum { .. } | MetaType::InputObject { .. }), _) => Err(None),
        (
            Some(MetaType::Scalar {
                is_valid: Some(is_valid),
                ..
            }),
            value,
        ) => {
            if is_valid(value) {
                Ok(())
            } else {
                Err(None)
            }
        }
        // Validation says what is wrong with a type that takes no value, or that there is not.
        _ => Ok(()),
    }
}

fn matches_field(
    registry: &Registry,
    field: &MetaInputValue,
    value: Option<&Value>,
) -> Result<(), String> {
    // The schema's own types are well-formed.
    let Some(declared) = Type::new(&field.ty) else {
        return Ok(());
    };
    match value {
        Some(value) => matches(registry, &declared, value),
        None if declared.nullable || field.default_value.is_some() => Ok(()),
        None => Err(format!("lacks the field {}", field.name)),
    }
    .map_err(|why| format!("{why}, in {}", field.name))
}

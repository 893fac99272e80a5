//! Check the values of variables against their declarations, before anything is executed (GraphQL
//! specification, section 6.1.2): the library looks only at the variables that are used, and only
//! where they are.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, InputValueDefinition, OperationDefinition, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Positioned, Value, Variables};

use crate::error::Error;

/// The input types of a schema, by name.
#[derive(Debug)]
pub(super) struct InputTypes(HashMap<String, TypeKind>);

impl InputTypes {
    /// Those of the schema that prints this SDL.
    pub(super) fn of(sdl: &str) -> Self {
        let document = parse_schema(sdl).map(|document| document.definitions);
        let definitions = document.unwrap_or_else(|error| {
            // Values are checked where they are used, still.
            tracing::error!(%error, "the schema's own SDL cannot be read");
            Vec::new()
        });
        let inputs = definitions.into_iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else {
                return None;
            };
            let kind = definition.node.kind;
            matches!(kind, TypeKind::Enum(_) | TypeKind::InputObject(_))
                .then(|| (definition.node.name.node.to_string(), kind))
        });
        Self(inputs.collect())
    }

    /// Errs with the first variable whose value is missing or not of its type.
    pub(super) fn check(
        &self,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Result<(), Error> {
        for definition in &operation.variable_definitions {
            let definition = &definition.node;
            let name = &definition.name.node;
            let declared = &definition.var_type.node;
            let checked = match variables.get(name) {
                None if definition.default_value().is_some() => Ok(()),
                None => Err(format!("of the type {declared} is not given")),
                Some(value) => self.matches(declared, value),
            };
            checked.map_err(|why| Error::BadUserInput(format!("The variable ${name} {why}.")))?;
        }
        Ok(())
    }

    fn matches(&self, declared: &Type, value: &Value) -> Result<(), String> {
        let refuse = || Err(format!("has a value that is no {declared}"));
        match (&declared.base, value) {
            (_, Value::Null) if declared.nullable => Ok(()),
            (_, Value::Null) => refuse(),
            (BaseType::List(each), Value::List(values)) => values
                .iter()
                .try_for_each(|value| self.matches(each, value)),
            // A single value stands for a list of it.
            (BaseType::List(each), value) => self.matches(each, value),
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
                        return self
                            .matches_defined(name, value)
                            .or_else(|why| why.map_or_else(refuse, Err));
                    }
                };
                if fits { Ok(()) } else { refuse() }
            }
        }
    }

    /// A value of a type that the schema defines; the error may say more than that it is none.
    fn matches_defined(&self, name: &str, value: &Value) -> Result<(), Option<String>> {
        match (self.0.get(name), value) {
            (Some(TypeKind::Enum(defined)), Value::String(value)) => {
                let known = defined
                    .values
                    .iter()
                    .any(|known| known.node.value.node == *value);
                if known { Ok(()) } else { Err(None) }
            }
            (Some(TypeKind::InputObject(defined)), Value::Object(object)) => {
                let known = |name: &str| {
                    defined
                        .fields
                        .iter()
                        .any(|field| field.node.name.node == name)
                };
                if let Some(unknown) = object.keys().find(|key| !known(key)) {
                    return Err(Some(format!(
                        "has the field {unknown}, which {name} has not"
                    )));
                }
                for field in &defined.fields {
                    self.matches_field(field, object.get(&field.node.name.node))
                        .map_err(Some)?;
                }
                Ok(())
            }
            (Some(_), _) => Err(None),
            // A scalar of the schema's own is checked by its own parser.
            (None, _) => Ok(()),
        }
    }

    fn matches_field(
        &self,
        field: &Positioned<InputValueDefinition>,
        value: Option<&Value>,
    ) -> Result<(), String> {
        let declared = &field.node.ty.node;
        match value {
            Some(value) => self.matches(declared, value),
            None if declared.nullable || field.node.default_value.is_some() => Ok(()),
            None => Err(format!("lacks the field {}", field.node.name.node)),
        }
        .map_err(|why| format!("{why}, in {}", field.node.name.node))
    }
}

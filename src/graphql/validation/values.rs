//! Rules about values: the type of each value, and the fields of input objects.

use std::collections::HashMap;

use async_graphql::registry::{MetaInputValue, MetaType, Registry};

use crate::graphql::syntax::ast::{Argument, Value, ValueKind};
use crate::graphql::validation::types::{is_required, item, named};
use crate::graphql::validation::usages::{Place, Usage};
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    /// Checks the value of an argument. The definition is `None` if the argument is unknown.
    pub(super) fn check_value(
        &mut self,
        value: &'d Value<'d>,
        definition: Option<&'d MetaInputValue>,
    ) {
        let place = Place {
            ty: definition.map(|definition| definition.ty.as_str()),
            has_default: definition.is_some_and(|it| it.default_value.is_some()),
            ..Place::default()
        };
        self.check_value_at(value, place);
    }

    pub(super) fn check_value_at(&mut self, value: &'d Value<'d>, place: Place<'d>) {
        let position = value.position;
        match &value.kind {
            ValueKind::Variable(name) => self.usages.add(Usage {
                name,
                position,
                place,
            }),
            ValueKind::Null => {
                if let Some(ty) = place.ty.filter(|ty| ty.ends_with('!') && !place.is_refused) {
                    self.report(
                        [position],
                        format!("Expected a value of the type \"{ty}\"."),
                    );
                }
            }
            ValueKind::List(values) => {
                let item = place.ty.and_then(item);
                let is_refused = if item.is_none() {
                    self.check_leaf(value, place)
                } else {
                    place.is_refused
                };
                let place = Place {
                    ty: item.or(place.ty),
                    is_refused,
                    ..Place::default()
                };
                for value in values {
                    self.check_value_at(value, place);
                }
            }
            ValueKind::Object(fields) => self.check_object(value, fields, place),
            _ => {
                self.check_leaf(value, place);
            }
        }
    }

    fn check_object(&mut self, value: &'d Value<'d>, fields: &'d [Argument<'d>], place: Place<'d>) {
        self.check_repeated_fields(fields);
        let ty = place.ty.and_then(|ty| named(self.registry, ty));
        let Some(MetaType::InputObject {
            name: type_name,
            input_fields,
            oneof,
            ..
        }) = ty
        else {
            let place = Place {
                is_refused: self.check_leaf(value, place),
                ..Place::default()
            };
            for field in fields {
                self.check_value_at(&field.value, place);
            }
            return;
        };
        if !place.is_refused {
            for definition in input_fields.values() {
                let name = definition.name.as_str();
                let is_given = fields.iter().any(|field| field.name.text == name);
                if is_required(definition) && !is_given {
                    let message = format!(
                        "The field \"{name}\" of the input object \"{type_name}\" is required."
                    );
                    self.report([value.position], message);
                }
            }
            if *oneof && !has_one_field(fields) {
                let message = format!("Expected exactly one field of \"{type_name}\", not null.");
                self.report([value.position], message);
            }
        }
        for field in fields {
            let name = field.name.text;
            let definition = input_fields.get(name);
            if definition.is_none() && !place.is_refused {
                let candidates = input_fields.keys().map(String::as_str);
                let suggestion = self.suggest(name, candidates);
                let message =
                    format!("Unknown field \"{name}\" of the type \"{type_name}\".{suggestion}");
                self.report([field.name.position], message);
            }
            let place = Place {
                ty: definition.map(|definition| definition.ty.as_str()),
                has_default: definition.is_some_and(|it| it.default_value.is_some()),
                is_in_oneof: *oneof,
                is_refused: place.is_refused,
            };
            self.check_value_at(&field.value, place);
        }
    }

    fn check_repeated_fields(&mut self, fields: &'d [Argument<'d>]) {
        let mut seen = HashMap::new();
        for Argument { name, .. } in fields {
            if let Some(first) = seen.get(name.text) {
                let message = format!("There can be only one input field named \"{}\".", name.text);
                self.report([*first, name.position], message);
            } else {
                seen.insert(name.text, name.position);
            }
        }
    }

    /// Checks a value of a scalar or an enum. Returns whether the values within this value have been
    /// refused or accepted together with it.
    fn check_leaf(&mut self, value: &'d Value<'d>, place: Place<'d>) -> bool {
        let Some(ty) = place.ty.filter(|_| !place.is_refused) else {
            return true;
        };
        if !is_leaf_value(self.registry, ty, value) {
            let message = format!("Expected a value of the type \"{ty}\".");
            self.report([value.position], message);
        }
        true
    }
}

/// Returns whether an input object with exactly one field has one, which is not null.
fn has_one_field(fields: &[Argument<'_>]) -> bool {
    let Some((first, others)) = fields.split_first() else {
        return false;
    };
    let has_one = others.iter().all(|it| it.name.text == first.name.text);
    has_one && !matches!(fields.last(), Some(last) if matches!(last.value.kind, ValueKind::Null))
}

fn is_leaf_value(registry: &Registry, ty: &str, value: &Value<'_>) -> bool {
    match (named(registry, ty), &value.kind) {
        (Some(MetaType::Enum { enum_values, .. }), ValueKind::Enum(name)) => {
            enum_values.contains_key(*name)
        }
        (Some(MetaType::Scalar { name, is_valid, .. }), kind) => match (name.as_str(), kind) {
            ("Int", ValueKind::Int(text)) => text.parse::<i32>().is_ok(),
            ("Float", ValueKind::Int(text) | ValueKind::Float(text)) => {
                text.parse::<f64>().is_ok_and(f64::is_finite)
            }
            ("String" | "ID", ValueKind::String(_))
            | ("ID", ValueKind::Int(_))
            | ("Boolean", ValueKind::Boolean(_)) => true,
            ("Int" | "Float" | "String" | "ID" | "Boolean", _) => false,
            // A value with variables is checked when the resolver reads it.
            _ => value
                .to_library()
                .into_const()
                .is_none_or(|value| is_valid.as_ref().is_none_or(|is_valid| is_valid(&value))),
        },
        _ => false,
    }
}

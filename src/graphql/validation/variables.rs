//! Rules about variables: their types, and the places where they are used.

use std::collections::{HashMap, HashSet};

use async_graphql::registry::MetaType;

use crate::graphql::syntax::ast::{Document, Operation, ValueKind, VariableDefinition};
use crate::graphql::validation::directives::Location;
use crate::graphql::validation::types::{accepts, named};
use crate::graphql::validation::usages::{Place, Scope, Usage};
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    pub(super) fn check_variable_definitions(&mut self, variables: &'d [VariableDefinition<'d>]) {
        let mut positions: HashMap<_, Vec<_>> = HashMap::new();
        for definition in variables {
            let name = definition.name;
            positions.entry(name.text).or_default().push(name.position);
            self.check_variable_definition(definition);
        }
        for (name, positions) in positions {
            if positions.len() > 1 {
                let message = format!("There can be only one variable named \"${name}\".");
                self.report(positions, message);
            }
        }
    }

    fn check_variable_definition(&mut self, definition: &'d VariableDefinition<'d>) {
        let ty = &definition.ty;
        let is_input = self.check_type_name(ty.name)
            && named(self.registry, &ty.text).is_some_and(MetaType::is_input);
        if !is_input && named(self.registry, &ty.text).is_some() {
            let message = format!(
                "The variable \"${}\" cannot have the output type \"{}\".",
                definition.name.text, ty.text
            );
            self.report([ty.position], message);
        }
        if let Some(default) = &definition.default {
            let place = Place {
                ty: is_input.then_some(ty.text.as_str()),
                ..Place::default()
            };
            self.check_value_at(default, place);
        }
        self.check_directives(&definition.directives, Location::VARIABLE_DEFINITION);
    }

    /// Checks that the variables that each operation uses, directly or through fragments, are defined and
    /// have the types that are expected, and that each defined variable is used.
    pub(super) fn check_variable_usages(&mut self, document: &'d Document<'d>) {
        for operation in &document.operations {
            let fragments = self.reachable_fragments(std::iter::once(&operation.selections));
            let scopes = fragments.into_iter().map(Scope::Fragment);
            let scopes = scopes.chain([Scope::Operation(operation.position)]);
            let usages: Vec<_> = scopes.flat_map(|scope| self.usages.of(scope)).collect();
            self.check_usages(operation, &usages);
        }
    }

    fn check_usages(&mut self, operation: &'d Operation<'d>, usages: &[Usage<'d>]) {
        let definitions: HashMap<_, _> = (operation.variables.iter())
            .map(|definition| (definition.name.text, definition))
            .collect();
        for usage in usages {
            match definitions.get(usage.name) {
                None => self.report(
                    [usage.position, operation.position],
                    format!("The variable \"${}\" is not defined.", usage.name),
                ),
                Some(definition) => self.check_usage(*usage, definition),
            }
        }
        let used: HashSet<_> = usages.iter().map(|usage| usage.name).collect();
        for definition in &operation.variables {
            let name = definition.name.text;
            if !used.contains(name) {
                let message = format!("The variable \"${name}\" is never used.");
                self.report([definition.position], message);
            }
        }
    }

    fn check_usage(&mut self, usage: Usage<'d>, definition: &VariableDefinition<'d>) {
        let ty = definition.ty.text.as_str();
        let Some(expected) = usage.place.ty else {
            return;
        };
        if named(self.registry, ty).is_none() {
            return;
        }
        let has_default = definition.default.as_ref();
        let has_default = has_default.is_some_and(|it| !matches!(it.kind, ValueKind::Null));
        let nullable = expected.strip_suffix('!').unwrap_or(expected);
        // A default value takes the place of a value that is not given.
        let is_accepted = if !ty.ends_with('!') && (has_default || usage.place.has_default) {
            accepts(nullable, ty)
        } else {
            accepts(expected, ty)
        };
        let positions = [definition.position, usage.position];
        if !is_accepted {
            let message = format!(
                "The variable \"${}\" of the type \"{ty}\" is used where the type \"{expected}\" is expected.",
                usage.name
            );
            self.report(positions, message);
        }
        if usage.place.is_in_oneof && !ty.ends_with('!') {
            let message = format!(
                "The variable \"${}\" must not be nullable, because it is the only field of an input object.",
                usage.name
            );
            self.report(positions, message);
        }
    }
}

//! Rules about the operations and fragments of a document.

use std::collections::HashMap;

use async_graphql::parser::types::OperationType;
use async_graphql::registry::MetaType;

use crate::error::Position;
use crate::graphql::syntax::ast::{
    Directive, Document, Field, Fragment, Name, Operation, Selection, SelectionSet, ValueKind,
};
use crate::graphql::validation::directives::Location;
use crate::graphql::validation::types::{composite, root_type};
use crate::graphql::validation::usages::Scope;
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    /// Checks that the names of operations and of fragments are unique, and that an anonymous operation is
    /// the only operation.
    pub(super) fn check_definitions(&mut self, document: &'d Document<'d>) {
        let operations = &document.operations;
        let names = operations.iter().filter_map(|operation| operation.name);
        for (first, name) in repeated(names) {
            let message = format!("There can be only one operation named \"{}\".", name.text);
            self.report([first.position, name.position], message);
        }
        let names = document.fragments.iter().map(|fragment| fragment.name);
        for (first, name) in repeated(names) {
            let message = format!("There can be only one fragment named \"{}\".", name.text);
            self.report([first.position, name.position], message);
        }
        if operations.len() > 1 {
            for operation in operations.iter().filter(|it| it.name.is_none()) {
                let message = "An anonymous operation must be the only operation of the document.";
                self.report([operation.position], message);
            }
        }
    }

    pub(super) fn check_operation(&mut self, operation: &'d Operation<'d>) {
        let (keyword, location) = match operation.ty {
            OperationType::Query => ("queries", Location::QUERY),
            OperationType::Mutation => ("mutations", Location::MUTATION),
            OperationType::Subscription => ("subscriptions", Location::SUBSCRIPTION),
        };
        let root = root_type(self.registry, operation.ty);
        if root.is_none() {
            let message = format!("The schema has no {keyword}.");
            self.report([operation.position], message);
        }
        self.usages.enter(Scope::Operation(operation.position));
        self.check_variable_definitions(&operation.variables);
        self.check_directives(&operation.directives, location);
        self.check_selections(root, &operation.selections);
        if let (OperationType::Subscription, Some(root)) = (operation.ty, root) {
            self.check_single_field(root, &operation.selections);
        }
    }

    pub(super) fn check_fragment(&mut self, fragment: &'d Fragment<'d>) {
        self.usages.enter(Scope::Fragment(fragment.name.text));
        self.check_type_condition(fragment.on);
        self.check_directives(&fragment.directives, Location::FRAGMENT_DEFINITION);
        let parent = composite(self.registry, fragment.on.text);
        self.check_selections(parent, &fragment.selections);
    }

    /// Checks that a type condition names a type on which fields can be selected.
    pub(super) fn check_type_condition(&mut self, on: Name<'d>) {
        if !self.check_type_name(on) || composite(self.registry, on.text).is_some() {
            return;
        }
        let message = format!("The type \"{}\" has no fields to select.", on.text);
        self.report([on.position], message);
    }

    /// Checks that a subscription selects one field, which is not an introspection field.
    fn check_single_field(&mut self, root: &'d MetaType, set: &'d SelectionSet<'d>) {
        let mut fields = Vec::new();
        self.collect_root_fields(root, set, &mut Vec::new(), &mut fields);
        let mut names = Vec::new();
        for (name, _) in &fields {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let positions = |name: &str| {
            let same = fields.iter().filter(|(other, _)| *other == name);
            same.map(|(_, field)| field.position)
                .collect::<Vec<Position>>()
        };
        let extra: Vec<_> = names.iter().skip(1).flat_map(|it| positions(it)).collect();
        if !extra.is_empty() {
            self.report(extra, "A subscription must select only one root field.");
        }
        let introspection = names.iter().filter(|name| {
            let first = fields.iter().find(|(other, _)| other == *name);
            first.is_some_and(|(_, field)| field.name.text.starts_with("__"))
        });
        for name in introspection {
            let message = "A subscription must not select an introspection field at its root.";
            self.report(positions(name), message);
        }
    }

    /// Collects the root fields of a subscription with their names in the response.
    fn collect_root_fields(
        &self,
        root: &'d MetaType,
        set: &'d SelectionSet<'d>,
        visited: &mut Vec<&'d str>,
        fields: &mut Vec<(&'d str, &'d Field<'d>)>,
    ) {
        let applies = |on: Name<'_>| {
            let on = composite(self.registry, on.text);
            on.is_some_and(|on| on.is_possible_type(root.name()))
        };
        for selection in &set.items {
            match selection {
                Selection::Field(field) if !is_omitted(&field.directives) => {
                    fields.push((field.response_name(), field));
                }
                Selection::Spread(spread) if !is_omitted(&spread.directives) => {
                    let name = spread.name.text;
                    if let Some(fragment) = self.fragments.get(name)
                        && !visited.contains(&name)
                        && applies(fragment.on)
                    {
                        visited.push(name);
                        self.collect_root_fields(root, &fragment.selections, visited, fields);
                    }
                }
                Selection::Inline(inline)
                    if !is_omitted(&inline.directives) && inline.on.is_none_or(applies) =>
                {
                    self.collect_root_fields(root, &inline.selections, visited, fields);
                }
                _ => {}
            }
        }
    }
}

/// Returns whether `@skip` or `@include` with a constant omits a selection.
fn is_omitted(directives: &[Directive<'_>]) -> bool {
    directives.iter().any(|directive| {
        let omitting = match directive.name.text {
            "skip" => true,
            "include" => false,
            _ => return false,
        };
        let mut arguments = directive.arguments.iter();
        arguments.any(|argument| {
            matches!(argument.value.kind, ValueKind::Boolean(value) if value == omitting)
        })
    })
}

/// Returns each name that is equal to an earlier name, with the first such name.
fn repeated<'d>(names: impl Iterator<Item = Name<'d>>) -> Vec<(Name<'d>, Name<'d>)> {
    let mut first = HashMap::new();
    let mut repeated = Vec::new();
    for name in names {
        match first.get(name.text) {
            Some(first) => repeated.push((*first, name)),
            None => {
                first.insert(name.text, name);
            }
        }
    }
    repeated
}

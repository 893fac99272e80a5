//! Rules about directives and about the names of arguments.

use std::collections::HashMap;

pub(super) use async_graphql::registry::__DirectiveLocation as Location;
use async_graphql::registry::MetaInputValue;

use crate::error::Position;
use crate::graphql::syntax::ast::{Argument, Directive};
use crate::graphql::validation::suggestion::did_you_mean;
use crate::graphql::validation::types::is_required;
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    pub(super) fn check_directives(&mut self, directives: &'d [Directive<'d>], location: Location) {
        let registry = self.registry;
        let mut seen = HashMap::new();
        for directive in directives {
            let name = directive.name.text;
            let definition = registry.directives.get(name);
            let arguments = definition.map(|definition| {
                let values = definition.args.values();
                values.collect::<Vec<&'d MetaInputValue>>()
            });
            let owner = format!("directive \"@{name}\"");
            let position = directive.position;
            self.check_arguments(&directive.arguments, arguments.as_deref(), &owner, position);
            let Some(definition) = definition else {
                self.report([position], format!("Unknown directive \"@{name}\"."));
                continue;
            };
            if !definition.locations.contains(&location) {
                let message = format!("The directive \"@{name}\" cannot be used here.");
                self.report([position], message);
            }
            if definition.is_repeatable {
                continue;
            }
            if let Some(first) = seen.get(name) {
                let message = format!("The directive \"@{name}\" can be used only once here.");
                self.report([*first, position], message);
            } else {
                seen.insert(name, position);
            }
        }
    }

    /// Checks the names and the values of arguments. The definitions are `None` if the field or directive
    /// is unknown. `owner` describes the field or directive in messages.
    pub(super) fn check_arguments(
        &mut self,
        arguments: &'d [Argument<'d>],
        definitions: Option<&[&'d MetaInputValue]>,
        owner: &str,
        position: Position,
    ) {
        self.check_repeated_arguments(arguments);
        for argument in arguments {
            let name = argument.name.text;
            let mut candidates = definitions.into_iter().flatten();
            let definition = candidates.find(|definition| definition.name == name);
            if definition.is_none()
                && let Some(definitions) = definitions
            {
                let candidates = definitions.iter().map(|it| it.name.as_str());
                let suggestion = self.suggest(name, candidates);
                let message = format!("Unknown argument \"{name}\" on {owner}.{suggestion}");
                self.report([argument.name.position], message);
            }
            self.check_value(&argument.value, definition.copied());
        }
        for definition in definitions.into_iter().flatten() {
            let name = definition.name.as_str();
            let is_given = arguments.iter().any(|argument| argument.name.text == name);
            if is_required(definition) && !is_given {
                let message = format!(
                    "The argument \"{name}\" of the type \"{}\" is required on {owner}.",
                    definition.ty
                );
                self.report([position], message);
            }
        }
    }

    fn check_repeated_arguments(&mut self, arguments: &'d [Argument<'d>]) {
        let mut positions: HashMap<_, Vec<_>> = HashMap::new();
        for Argument { name, .. } in arguments {
            positions.entry(name.text).or_default().push(name.position);
        }
        for (name, positions) in positions {
            if positions.len() > 1 {
                let message = format!("There can be only one argument named \"{name}\".");
                self.report(positions, message);
            }
        }
    }

    /// Returns a sentence that suggests similar names, unless the schema hides its names.
    pub(super) fn suggest<'a>(
        &self,
        name: &str,
        candidates: impl Iterator<Item = &'a str>,
    ) -> String {
        if self.registry.enable_suggestions {
            did_you_mean(name, candidates)
        } else {
            String::new()
        }
    }
}

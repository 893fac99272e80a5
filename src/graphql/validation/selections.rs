//! Rules about selections: fields exist, composite fields and only these have selections, and fragments
//! apply to the type.

use async_graphql::registry::MetaType;

use crate::graphql::syntax::ast::{Field, InlineFragment, Name, Selection, SelectionSet, Spread};
use crate::graphql::validation::directives::Location;
use crate::graphql::validation::types::{FieldDefinition, composite, named};
use crate::graphql::validation::validator::Validator;

impl<'d> Validator<'d> {
    /// Checks the selections on the type `parent`. `parent` is `None` if an error in the type has been
    /// reported.
    pub(super) fn check_selections(
        &mut self,
        parent: Option<&'d MetaType>,
        set: &'d SelectionSet<'d>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => self.check_field(parent, field),
                Selection::Spread(spread) => self.check_spread(parent, spread),
                Selection::Inline(inline) => self.check_inline_fragment(parent, inline),
            }
        }
    }

    fn check_field(&mut self, parent: Option<&'d MetaType>, field: &'d Field<'d>) {
        let name = field.name.text;
        let definition = parent.and_then(|parent| FieldDefinition::of(parent, name));
        if let Some(parent) = parent
            && definition.is_none()
        {
            let fields = parent.fields().into_iter().flat_map(|fields| fields.keys());
            let suggestion = self.suggest(name, fields.map(String::as_str));
            let message = format!(
                "Unknown field \"{name}\" on type \"{}\".{suggestion}",
                parent.name()
            );
            self.report([field.position], message);
        }
        let arguments: Option<Vec<_>> = definition.map(|field| field.arguments().collect());
        let owner = format!("field \"{name}\"");
        self.check_arguments(
            &field.arguments,
            arguments.as_deref(),
            &owner,
            field.position,
        );
        self.check_directives(&field.directives, Location::FIELD);
        let ty = definition.and_then(|field| named(self.registry, field.ty));
        match (ty, &field.selections) {
            (Some(ty), Some(set)) if !ty.is_composite() => {
                let message =
                    format!("The field \"{name}\" cannot have a selection: it has no fields.");
                self.report([set.position], message);
            }
            (Some(ty), None) if ty.is_composite() => {
                let message = format!(
                    "The field \"{name}\" of the type \"{}\" must have a selection of its fields.",
                    ty.name()
                );
                self.report([field.position], message);
            }
            _ => {}
        }
        if let Some(set) = &field.selections {
            self.check_selections(ty.filter(|ty| ty.is_composite()), set);
        }
    }

    fn check_spread(&mut self, parent: Option<&'d MetaType>, spread: &'d Spread<'d>) {
        self.check_directives(&spread.directives, Location::FRAGMENT_SPREAD);
        let name = spread.name.text;
        let Some(fragment) = self.fragments.get(name) else {
            let message = format!("Unknown fragment \"{name}\".");
            self.report([spread.name.position], message);
            return;
        };
        let on = composite(self.registry, fragment.on.text);
        if let (Some(parent), Some(on)) = (parent, on)
            && !parent.type_overlap(on)
        {
            let message = format!(
                "The fragment \"{name}\" cannot be spread here: objects of the type \"{}\" are never of \
                 the type \"{}\".",
                parent.name(),
                on.name()
            );
            self.report([spread.position], message);
        }
    }

    fn check_inline_fragment(
        &mut self,
        parent: Option<&'d MetaType>,
        inline: &'d InlineFragment<'d>,
    ) {
        let on = match inline.on {
            Some(on) => {
                self.check_type_condition(on);
                composite(self.registry, on.text)
            }
            None => parent,
        };
        if let (Some(parent), Some(on)) = (parent, on)
            && !parent.type_overlap(on)
        {
            let message = format!(
                "The fragment cannot be used here: objects of the type \"{}\" are never of the type \"{}\".",
                parent.name(),
                on.name()
            );
            self.report([inline.position], message);
        }
        self.check_directives(&inline.directives, Location::INLINE_FRAGMENT);
        self.check_selections(on, &inline.selections);
    }

    /// Checks that a type exists, and returns whether it does.
    pub(super) fn check_type_name(&mut self, name: Name<'d>) -> bool {
        let registry = self.registry;
        let exists = registry.types.contains_key(name.text);
        if !exists {
            let types = registry.types.keys().map(String::as_str);
            let suggestion = self.suggest(name.text, types);
            let message = format!("Unknown type \"{}\".{suggestion}", name.text);
            self.report([name.position], message);
        }
        exists
    }
}

//! The uses of variables.

use std::collections::HashMap;

use crate::error::Position;

/// The place of a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'d> {
    /// The type that is expected. `None` if the argument or input field is unknown.
    pub(super) ty: Option<&'d str>,
    pub(super) has_default: bool,
    /// Whether the value is that of a field of an input object with exactly one field.
    pub(super) is_in_oneof: bool,
    /// Whether the types of values have already been refused, so that only variables and repeated fields
    /// are examined.
    pub(super) is_refused: bool,
}

/// The use of a variable.
#[derive(Clone, Copy)]
pub(super) struct Usage<'d> {
    pub(super) name: &'d str,
    pub(super) position: Position,
    pub(super) place: Place<'d>,
}

/// The definition that contains a use of a variable. An operation is identified by its position.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope<'d> {
    Operation(Position),
    Fragment(&'d str),
}

/// The uses of variables in each definition.
#[derive(Default)]
pub(super) struct Usages<'d> {
    scopes: HashMap<Scope<'d>, Vec<Usage<'d>>>,
    current: Option<Scope<'d>>,
}

impl<'d> Usages<'d> {
    /// Begins a definition. If the name of a fragment is repeated, the last fragment counts.
    pub(super) fn enter(&mut self, scope: Scope<'d>) {
        self.scopes.insert(scope, Vec::new());
        self.current = Some(scope);
    }

    pub(super) fn add(&mut self, usage: Usage<'d>) {
        let scope = self.current.and_then(|scope| self.scopes.get_mut(&scope));
        if let Some(usages) = scope {
            usages.push(usage);
        }
    }

    pub(super) fn of(&self, scope: Scope<'d>) -> impl Iterator<Item = Usage<'d>> {
        self.scopes.get(&scope).into_iter().flatten().copied()
    }
}

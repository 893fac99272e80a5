//! The state that the rules share.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::registry::Registry;

use crate::error::{DocumentError, Error, Position};
use crate::graphql::syntax::ast::{Document, Fragment};
use crate::graphql::validation::usages::Usages;

/// The maximum number of validation errors in a response, as in graphql-js. A short document can have
/// thousands.
const MAX_ERRORS: usize = 100;

/// The state of a validation. Each file in this folder adds the methods for some of the rules.
pub(super) struct Validator<'d> {
    pub(super) registry: &'d Registry,
    pub(super) fragments: HashMap<&'d str, &'d Fragment<'d>>,
    pub(super) usages: Usages<'d>,
    errors: Vec<DocumentError>,
}

impl<'d> Validator<'d> {
    pub(super) fn new(document: &'d Document<'d>, registry: &'d Registry) -> Self {
        let fragments = document.fragments.iter();
        Self {
            registry,
            fragments: fragments
                .map(|fragment| (fragment.name.text, fragment))
                .collect(),
            usages: Usages::default(),
            errors: Vec::new(),
        }
    }

    pub(super) fn report(
        &mut self,
        positions: impl Into<Vec<Position>>,
        message: impl Into<String>,
    ) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(DocumentError {
                positions: positions.into(),
                message: message.into(),
            });
        }
    }

    /// Returns the errors in the order of their positions.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort();
        Err(Error::InvalidDocument(Arc::from(self.errors)))
    }
}

//! The validation of documents
//! ([GraphQL specification, section 5](https://spec.graphql.org/September2025/#sec-Validation)).
//!
//! The validation of async-graphql is not used, because some of its verdicts and many of its positions are
//! wrong (docs/async-graphql-issues.md). `tests/graphql_js_comparison.rs` compares the verdicts and
//! positions with those of graphql-js.

mod definitions;
mod directives;
mod fragments;
mod mergeable_fields;
mod overlapping_fields;
mod selections;
mod suggestion;
mod types;
mod values;
mod variables;

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::registry::Registry;

use crate::config::Limits;
use crate::error::{DocumentError, Error, Position};
use crate::graphql::syntax::ast::{Document, Fragment};
use crate::graphql::validation::variables::Usages;

/// The maximum number of validation errors in a response, as in graphql-js. A short document can have
/// thousands.
const MAX_ERRORS: usize = 100;

/// Checks that a document is valid for a schema, whatever the values of its variables are.
pub(super) fn validate(
    document: &Document<'_>,
    registry: &Registry,
    limits: &Limits,
) -> Result<(), Error> {
    let fragments = document.fragments.iter();
    let mut validator = Validator {
        registry,
        fragments: fragments
            .map(|fragment| (fragment.name.text, fragment))
            .collect(),
        usages: Usages::default(),
        errors: Vec::new(),
    };
    validator.check_definitions(document);
    validator.check_fragments(document);
    for operation in &document.operations {
        validator.check_operation(operation);
    }
    for fragment in &document.fragments {
        validator.check_fragment(fragment);
    }
    validator.check_variable_usages(document);
    validator.check_overlapping_fields(document, limits)?;
    let mut errors = validator.errors;
    if errors.is_empty() {
        return Ok(());
    }
    errors.sort();
    Err(Error::InvalidDocument(Arc::from(errors)))
}

struct Validator<'d> {
    registry: &'d Registry,
    fragments: HashMap<&'d str, &'d Fragment<'d>>,
    usages: Usages<'d>,
    errors: Vec<DocumentError>,
}

impl Validator<'_> {
    fn report(&mut self, positions: impl Into<Vec<Position>>, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(DocumentError {
                positions: positions.into(),
                message: message.into(),
            });
        }
    }
}

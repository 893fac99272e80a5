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
mod usages;
mod validator;
mod values;
mod variables;

use async_graphql::registry::Registry;

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::syntax::ast::Document;
use crate::graphql::validation::validator::Validator;

/// Checks that a document is valid for a schema, whatever the values of its variables are.
pub(super) fn validate(
    document: &Document<'_>,
    registry: &Registry,
    limits: &Limits,
) -> Result<(), Error> {
    let mut validator = Validator::new(document, registry);
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
    validator.finish()
}

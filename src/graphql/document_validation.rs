//! Parses and validates documents
//! ([GraphQL specification, sections 2 and 5](https://spec.graphql.org/September2025/)).
//!
//! The parser and the validation of async-graphql are not used, because some of their verdicts and many of
//! their positions are wrong. `tests/graphql_js_comparison.rs` compares the verdicts and the positions with
//! those of graphql-js.

use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::ast::Document;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};

use crate::config::Limits;
use crate::error::{DocumentError, Error, Position};
use crate::graphql::document_checks;
use crate::graphql::document_positions::Positions;

/// The maximum number of validation errors in a response, as in graphql-js. A short document can have
/// thousands.
const MAX_ERRORS: usize = 100;

/// Parses a document whose text is within the limits, and checks that the document is valid for a schema,
/// whatever the values of its variables are.
pub(super) fn parse_and_validate(
    text: &str,
    schema: &Valid<Schema>,
    limits: &Limits,
) -> Result<Document, Error> {
    // A text within the limit on nesting can exceed the limit of the parser only after a syntax error.
    let mut parser = Parser::new().recursion_limit(limits.nesting + 1);
    let document = parser
        .parse_ast(text, "")
        .map_err(|invalid| syntax_error(text, &invalid.errors))?;
    let mut errors = document_checks::check(text, &document, limits);
    if let Err(invalid) = document.to_executable_validate(schema) {
        errors.extend(document_errors(text, &invalid.errors));
    }
    if errors.is_empty() {
        return Ok(document);
    }
    errors.sort();
    errors.truncate(MAX_ERRORS);
    Err(Error::InvalidDocument(Arc::from(errors)))
}

/// Returns the first error, because the parser continues after an error. The message contains no text of the
/// document, because the text can contain secrets.
fn syntax_error(text: &str, errors: &DiagnosticList) -> Error {
    let first = document_errors(text, errors).into_iter().min();
    let positions = first.map(|first| first.positions).unwrap_or_default();
    let Position { line, column } = positions.first().copied().unwrap_or_default();
    Error::GraphqlParseFailed(DocumentError {
        positions,
        message: format!("The document has a syntax error at line {line}, column {column}."),
    })
}

fn document_errors(text: &str, errors: &DiagnosticList) -> Vec<DocumentError> {
    let positions = Positions::new(text);
    let convert = |error: &dyn ToCliReport| DocumentError {
        positions: vec![positions.of(error.location())],
        message: error.to_string(),
    };
    errors.iter().map(|error| convert(error.error)).collect()
}

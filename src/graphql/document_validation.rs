//! Parses and validates documents
//! ([GraphQL specification, sections 2 and 5](https://spec.graphql.org/September2025/)).
//!
//! The parser and the validation of async-graphql are not used, because some of their verdicts and many of
//! their positions are wrong. `tests/graphql_js_comparison.rs` compares the verdicts and the positions with
//! those of graphql-js.

use std::sync::Arc;

use apollo_compiler::ast::Document;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::DiagnosticList;

use crate::config::Limits;
use crate::error::{DocumentError, Error};
use crate::graphql::document_checks::{check_syntax, check_types, check_values};
use crate::graphql::document_positions::Positions;
use crate::graphql::schema_definitions::Definitions;

/// The maximum number of validation errors in a response, as in graphql-js. A short document can have
/// thousands.
const MAX_ERRORS: usize = 100;

/// Parses a document whose text is within the limits.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Document, Error> {
    // A text within the limit on nesting can exceed the limit of the parser only after a syntax error.
    let recursion = limits.nesting + 1;
    if let Some(offset) = check_syntax(text, recursion) {
        return Err(syntax_error(text, offset));
    }
    let mut parser = Parser::new().recursion_limit(recursion);
    parser
        .parse_ast(text, "")
        .map_err(|_| syntax_error(text, 0))
}

/// Checks that a document is valid for a schema, whatever the values of its variables are. The time depends on the
/// number of selections after the expansion of fragments, so the limits of operations are checked before.
pub(super) fn validate(
    text: &str,
    document: &Document,
    definitions: &Definitions,
    limits: &Limits,
) -> Result<(), Error> {
    let Definitions { env, schema } = definitions;
    let mut errors = check_values(text, document, limits);
    // The next step is skipped after errors, because it would report the consequences of the errors.
    match document.to_executable(schema) {
        Err(invalid) => errors.extend(document_errors(text, &invalid.errors)),
        Ok(executable) if errors.is_empty() => match executable.validate(schema) {
            Err(invalid) => errors.extend(document_errors(text, &invalid.errors)),
            Ok(valid) => errors.extend(check_types(text, &valid, schema, &env.registry)),
        },
        Ok(_) => {}
    }
    if errors.is_empty() {
        return Ok(());
    }
    errors.sort();
    errors.truncate(MAX_ERRORS);
    Err(Error::InvalidDocument(Arc::from(errors)))
}

/// Returns an error at an offset in bytes. The message contains no text of the document, because the text can
/// contain secrets.
fn syntax_error(text: &str, offset: usize) -> Error {
    let position = Positions::new(text).at(offset);
    Error::GraphqlParseFailed(DocumentError {
        positions: vec![position],
        message: format!(
            "The document has a syntax error at line {}, column {}.",
            position.line, position.column
        ),
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

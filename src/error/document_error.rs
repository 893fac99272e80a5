//! Errors in GraphQL documents.

/// An error in a GraphQL document.
///
/// ```
/// use symbolon::{DocumentError, Position};
///
/// /// Returns the error in the format of compilers.
/// fn line(error: &DocumentError) -> String {
///     let Position { line, column } = error.positions.first().copied().unwrap_or_default();
///     format!("query.graphql:{line}:{column}: {}", error.message)
/// }
/// let message = "The field `usr` does not exist.".to_owned();
/// let error = DocumentError { positions: vec![Position { line: 2, column: 3 }], message };
/// assert_eq!(line(&error), "query.graphql:2:3: The field `usr` does not exist.");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentError {
    /// The positions in the document that the error concerns.
    pub positions: Vec<Position>,
    /// The message for the client.
    pub message: String,
}

/// A position in a GraphQL document.
///
/// ```
/// use symbolon::Position;
///
/// let (unknown, missing) = (Position { line: 2, column: 9 }, Position { line: 10, column: 1 });
/// assert!(unknown < missing);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1. Columns are counted in UTF-16 code units, as in JavaScript.
    pub column: usize,
}

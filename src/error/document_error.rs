//! Errors in GraphQL documents.

/// An error in a GraphQL document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentError {
    /// The positions in the document that the error concerns.
    pub positions: Vec<Position>,
    /// The message for the client.
    pub message: String,
}

/// A position in a GraphQL document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1. Columns are counted in UTF-16 code units, as in JavaScript.
    pub column: usize,
}

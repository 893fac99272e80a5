//! Positions in GraphQL documents.

use std::cell::Cell;

use apollo_compiler::parser::SourceSpan;

use crate::error::Position;

/// Computes positions as graphql-js does, where columns are UTF-16 code units. apollo-compiler counts Unicode
/// scalar values. If the offsets ascend, the time for all positions is linear in the length of the text.
pub(super) struct Positions<'t> {
    text: &'t str,
    /// The last offset, in bytes, and its position.
    last: Cell<(usize, Position)>,
}

impl<'t> Positions<'t> {
    const START: (usize, Position) = (0, Position { line: 1, column: 1 });

    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            last: Cell::new(Self::START),
        }
    }

    /// Returns the position of the start of a span. A node without a span has the position of the text.
    pub(super) fn of(&self, span: Option<SourceSpan>) -> Position {
        self.at(span.map_or(0, |span| span.offset()))
    }

    /// Returns the position of an offset in bytes.
    pub(super) fn at(&self, offset: usize) -> Position {
        let (start, mut position) = match self.last.get() {
            last if last.0 <= offset => last,
            _ => Self::START,
        };
        let characters = self.text.get(start..offset).unwrap_or_default();
        let mut characters = characters.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                // The line feed ends the line.
                '\r' if characters.peek() == Some(&'\n') => {}
                '\r' | '\n' => {
                    position.line += 1;
                    position.column = 1;
                }
                _ => position.column += character.len_utf16(),
            }
        }
        self.last.set((offset, position));
        position
    }
}

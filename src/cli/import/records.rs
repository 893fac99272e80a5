//! The records of a CSV file (RFC 4180), with their lines.

use std::iter::Peekable;
use std::str::CharIndices;

/// The maximum length of a record, in bytes. A longer record is probably the result of a missing quotation mark.
const MAX_RECORD: usize = 64 * 1024;

/// A record, which can span several lines.
pub(super) struct Record<'a> {
    /// The line on which the record begins.
    pub(super) line: i64,
    pub(super) text: Result<&'a str, String>,
}

/// Splits a text into its records. The crate `csv` splits a record into fields, but accepts text after a closing
/// quotation mark and a quotation mark that is never closed, and counts the line ends CR and CR LF wrongly.
pub(super) struct Records<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
    delimiter: char,
    line: i64,
    position: usize,
}

/// The position within a field.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    /// After white space at the start of a field.
    Blank,
    Unquoted,
    Quoted,
    AfterQuote,
    Invalid,
    /// After white space and a quotation mark at the start of a field.
    BlankQuote,
}

impl<'a> Records<'a> {
    /// `line` is the number of the first line of `text`.
    pub(super) fn new(text: &'a str, delimiter: char, line: i64) -> Self {
        Self {
            text,
            characters: text.char_indices().peekable(),
            delimiter,
            line,
            position: 0,
        }
    }

    /// Returns the number of bytes that have been read, and the number of the next line.
    pub(super) fn position(&self) -> (usize, i64) {
        (self.position, self.line)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let start = self.characters.peek()?.0;
        let first_line = self.line;
        let (mut state, mut opened, mut invalid) = (State::Start, first_line, first_line);
        let mut end = self.text.len();
        while let Some((at, character)) = self.characters.next() {
            let is_line_end = matches!(character, '\r' | '\n');
            if character == '\r' {
                self.characters.next_if(|next| next.1 == '\n');
            }
            state = match (state, character) {
                (State::Start, '"') => {
                    opened = self.line;
                    State::Quoted
                }
                (State::Quoted, '"') if self.characters.next_if(|next| next.1 == '"').is_some() => {
                    State::Quoted
                }
                (State::Quoted, '"') => State::AfterQuote,
                (State::Quoted, _) => State::Quoted,
                _ if is_line_end => {
                    end = at;
                    self.line += 1;
                    break;
                }
                (State::Start | State::Blank | State::Unquoted | State::AfterQuote, character)
                    if character == self.delimiter =>
                {
                    State::Start
                }
                (State::Blank, '"') | (State::BlankQuote, _) => State::BlankQuote,
                (State::Start | State::Blank, character) if character.is_whitespace() => {
                    State::Blank
                }
                (State::Start | State::Blank | State::Unquoted, _) => State::Unquoted,
                (State::AfterQuote, _) => {
                    invalid = self.line;
                    State::Invalid
                }
                (State::Invalid, _) => State::Invalid,
            };
            self.line += i64::from(is_line_end);
        }
        self.position = self
            .characters
            .peek()
            .map_or(self.text.len(), |next| next.0);
        let record = &self.text[start..end];
        let text = match state {
            State::Quoted => Err(format!(
                "The quotation mark that opens on line {opened} is never closed. No later line is imported."
            )),
            State::Invalid if invalid > first_line => Err(format!(
                "Text follows a closing quotation mark on line {invalid}. The lines {first_line} to {invalid} are not \
                 imported."
            )),
            State::Invalid => Err("Text follows a closing quotation mark.".to_owned()),
            State::BlankQuote => Err("White space precedes an opening quotation mark.".to_owned()),
            _ if record.len() > MAX_RECORD => Err(format!(
                "The row is longer than {MAX_RECORD} bytes. A quotation mark is probably not closed."
            )),
            _ => Ok(record),
        };
        Some(Record {
            line: first_line,
            text,
        })
    }
}

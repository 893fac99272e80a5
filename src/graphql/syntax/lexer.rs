//! Splits a document into tokens, and checks the limits on its text.

use crate::config::Limits;
use crate::error::{DocumentError, Error, Position};
use crate::graphql::document_limits::check_limit;
use crate::graphql::syntax::string_literal::{self, StringError};

/// The maximum length of a name or number in a document, in bytes. The length is limited because a
/// response repeats an alias for each entry of a list.
const NAME_BYTES: usize = 256;

/// A lexical token.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    Punctuator(&'static str),
    Name(&'a str),
    Int(&'a str),
    Float(&'a str),
    String(String),
    End,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    limits: &'a Limits,
    /// The index of the next byte to read.
    next: usize,
    /// The number of tokens that have been read.
    pub(super) tokens: usize,
    nesting: usize,
    /// An index in the text, whose position is `position`.
    index: usize,
    position: Position,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits) -> Result<Self, Error> {
        check_limit("documentBytes", text.len(), limits.document_bytes)?;
        Ok(Self {
            text,
            limits,
            next: 0,
            tokens: 0,
            nesting: 0,
            index: 0,
            position: Position { line: 1, column: 1 },
        })
    }

    /// Returns the next token and its position.
    pub(super) fn read(&mut self) -> Result<(Token<'a>, Position), Error> {
        self.skip_ignored();
        let start = self.next;
        let position = self.position_of(start);
        let Some(byte) = self.byte(start) else {
            return Ok((Token::End, position));
        };
        let token = match byte {
            b'"' => {
                let (value, length) = string_literal::read(&self.text[start..])
                    .map_err(|StringError { at, message }| self.error(start + at, message))?;
                self.next += length;
                Token::String(value)
            }
            b'-' | b'0'..=b'9' => self.number(start)?,
            _ if is_name_start(byte) => {
                self.next = self.end_of(start, is_name_part);
                Token::Name(&self.text[start..self.next])
            }
            _ => self.punctuator(start)?,
        };
        if let Token::Name(word) | Token::Int(word) | Token::Float(word) = token {
            check_limit("nameBytes", word.len(), NAME_BYTES)?;
        }
        self.tokens += 1;
        check_limit("tokens", self.tokens, self.limits.tokens)?;
        Ok((token, position))
    }

    fn skip_ignored(&mut self) {
        loop {
            let rest = &self.text[self.next..];
            self.next += match rest.as_bytes() {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', ..] => 1,
                [b'#', ..] => rest.find(['\r', '\n']).unwrap_or(rest.len()),
                // A byte order mark.
                [0xEF, 0xBB, 0xBF, ..] => 3,
                _ => return,
            };
        }
    }

    fn punctuator(&mut self, start: usize) -> Result<Token<'a>, Error> {
        const PUNCTUATORS: [&str; 14] = [
            "!", "$", "&", "(", ")", "...", ":", "=", "@", "[", "]", "{", "|", "}",
        ];
        let rest = &self.text[start..];
        let found = PUNCTUATORS.iter().find(|text| rest.starts_with(**text));
        let Some(punctuator) = found else {
            return Err(self.error(start, "unexpected character"));
        };
        match *punctuator {
            "{" | "[" | "(" => {
                self.nesting += 1;
                check_limit("nesting", self.nesting, self.limits.nesting)?;
            }
            "}" | "]" | ")" => self.nesting = self.nesting.saturating_sub(1),
            _ => {}
        }
        self.next += punctuator.len();
        Ok(Token::Punctuator(punctuator))
    }

    fn number(&mut self, start: usize) -> Result<Token<'a>, Error> {
        let mut end = start + usize::from(self.byte(start) == Some(b'-'));
        let mut is_float = false;
        if self.byte(end) == Some(b'0') {
            end += 1;
            if self.byte(end).is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.error(end, "unexpected digit after 0"));
            }
        } else {
            end = self.digits(end)?;
        }
        if self.byte(end) == Some(b'.') {
            is_float = true;
            end = self.digits(end + 1)?;
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            is_float = true;
            let has_sign = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            end = self.digits(end + 1 + usize::from(has_sign))?;
        }
        let next = self.byte(end);
        if next.is_some_and(|byte| byte == b'.' || is_name_start(byte)) {
            return Err(self.error(end, "expected a digit"));
        }
        self.next = end;
        let text = &self.text[start..end];
        Ok(if is_float {
            Token::Float(text)
        } else {
            Token::Int(text)
        })
    }

    /// Returns the end of the digits at `start`.
    fn digits(&mut self, start: usize) -> Result<usize, Error> {
        let end = self.end_of(start, |byte| byte.is_ascii_digit());
        if end == start {
            return Err(self.error(start, "expected a digit"));
        }
        Ok(end)
    }

    fn end_of(&self, start: usize, is_part: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[start..];
        let length = rest.iter().position(|byte| !is_part(*byte));
        start + length.unwrap_or(rest.len())
    }

    fn byte(&self, index: usize) -> Option<u8> {
        self.text.as_bytes().get(index).copied()
    }

    fn error(&mut self, index: usize, message: &str) -> Error {
        syntax_error(self.position_of(index), message)
    }

    /// Returns the position of an index. The index must not be less than the index of the previous call.
    fn position_of(&mut self, index: usize) -> Position {
        let mut characters = self.text[self.index..index].chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                // The line feed ends the line.
                '\r' if characters.peek() == Some(&'\n') => {}
                '\r' | '\n' => {
                    self.position.line += 1;
                    self.position.column = 1;
                }
                _ => self.position.column += character.len_utf16(),
            }
        }
        self.index = index;
        self.position
    }
}

/// Returns an error at a position. The message contains no text of the document, because the text can
/// contain secrets.
pub(super) fn syntax_error(position: Position, message: &str) -> Error {
    let Position { line, column } = position;
    Error::GraphqlParseFailed(DocumentError {
        positions: vec![position],
        message: format!(
            "The document has a syntax error at line {line}, column {column}: {message}."
        ),
    })
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

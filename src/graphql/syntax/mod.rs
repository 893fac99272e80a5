//! The syntax of GraphQL documents.
//!
//! The parser of async-graphql is not used, because it accepts some texts that are not GraphQL, refuses some
//! that are, and does not report all positions (docs/async-graphql-issues.md).

pub(super) mod ast;
mod conversion;
mod lexer;
mod parser;
mod string_literal;

pub(super) use self::parser::parse;

//! What one GraphQL document may ask for.

use clap::{ArgAction, Args};

use crate::config::ranges;

/// What one GraphQL document may ask for. An error names the limit that was exceeded.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest document, in bytes.
    #[arg(
        long = "limit-document-bytes",
        env = "SYMBOLON_LIMIT_DOCUMENT_BYTES",
        value_name = "N",
        default_value_t = 32768,
        value_parser = |text: &str| ranges::LIMIT_DOCUMENT_BYTES.parse::<usize>(text)
    )]
    pub document_bytes: usize,

    /// Tokens of a document: names, ranges, strings and punctuation; and values in its variables.
    #[arg(
        long = "limit-tokens",
        env = "SYMBOLON_LIMIT_TOKENS",
        value_name = "N",
        default_value_t = 4000,
        value_parser = |text: &str| ranges::LIMIT_TOKENS.parse::<usize>(text)
    )]
    pub tokens: usize,

    /// Brackets within brackets, in a document and in its variables.
    #[arg(
        long = "limit-nesting",
        env = "SYMBOLON_LIMIT_NESTING",
        value_name = "N",
        default_value_t = 50,
        value_parser = |text: &str| ranges::LIMIT_NESTING.parse::<usize>(text)
    )]
    pub nesting: usize,

    /// Selections of a document with its fragments spread out.
    #[arg(
        long = "limit-selections",
        env = "SYMBOLON_LIMIT_SELECTIONS",
        value_name = "N",
        default_value_t = 2000,
        value_parser = |text: &str| ranges::LIMIT_SELECTIONS.parse::<usize>(text)
    )]
    pub selections: usize,

    /// Fields within fields.
    #[arg(
        long = "limit-depth",
        env = "SYMBOLON_LIMIT_DEPTH",
        value_name = "N",
        default_value_t = 20,
        value_parser = |text: &str| ranges::LIMIT_DEPTH.parse::<usize>(text)
    )]
    pub depth: usize,

    /// Fields of the root of an operation.
    #[arg(
        long = "limit-root-fields",
        env = "SYMBOLON_LIMIT_ROOT_FIELDS",
        value_name = "N",
        default_value_t = 50,
        value_parser = |text: &str| ranges::LIMIT_ROOT_FIELDS.parse::<usize>(text)
    )]
    pub root_fields: usize,

    /// Aliases.
    #[arg(
        long = "limit-aliases",
        env = "SYMBOLON_LIMIT_ALIASES",
        value_name = "N",
        default_value_t = 100,
        value_parser = |text: &str| ranges::LIMIT_ALIASES.parse::<usize>(text)
    )]
    pub aliases: usize,

    /// Directives.
    #[arg(
        long = "limit-directives",
        env = "SYMBOLON_LIMIT_DIRECTIVES",
        value_name = "N",
        default_value_t = 50,
        value_parser = |text: &str| ranges::LIMIT_DIRECTIVES.parse::<usize>(text)
    )]
    pub directives: usize,

    /// Fields that may have to be resolved; those of a list count once for each entry that it can have.
    #[arg(
        long = "limit-complexity",
        env = "SYMBOLON_LIMIT_COMPLEXITY",
        value_name = "N",
        default_value_t = 5000,
        value_parser = |text: &str| ranges::LIMIT_COMPLEXITY.parse::<usize>(text)
    )]
    pub complexity: usize,

    /// Whether clients may ask for the schema; without it, errors do not suggest names either.
    #[arg(long, env = "SYMBOLON_INTROSPECTION", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub introspection: bool,
}

//! Limits of a GraphQL document.

use clap::{ArgAction, Args};

use crate::config::ranges;

/// Limits of a GraphQL document. The error `LIMIT_EXCEEDED` names the limit that a document exceeds.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Largest length of a document, in bytes.
    #[arg(
        long = "limit-document-bytes",
        env = "SYMBOLON_LIMIT_DOCUMENT_BYTES",
        value_name = "N",
        default_value_t = 32768,
        value_parser = |text: &str| ranges::LIMIT_DOCUMENT_BYTES.parse::<usize>(text)
    )]
    pub document_bytes: usize,

    /// Largest number of tokens of a document, and of values in its variables.
    #[arg(
        long = "limit-tokens",
        env = "SYMBOLON_LIMIT_TOKENS",
        value_name = "N",
        default_value_t = 4000,
        value_parser = |text: &str| ranges::LIMIT_TOKENS.parse::<usize>(text)
    )]
    pub tokens: usize,

    /// Largest nesting of brackets in a document and of values in its variables.
    #[arg(
        long = "limit-nesting",
        env = "SYMBOLON_LIMIT_NESTING",
        value_name = "N",
        default_value_t = 50,
        value_parser = |text: &str| ranges::LIMIT_NESTING.parse::<usize>(text)
    )]
    pub nesting: usize,

    /// Largest number of selections and of their directives, with fragments expanded.
    #[arg(
        long = "limit-selections",
        env = "SYMBOLON_LIMIT_SELECTIONS",
        value_name = "N",
        default_value_t = 2000,
        value_parser = |text: &str| ranges::LIMIT_SELECTIONS.parse::<usize>(text)
    )]
    pub selections: usize,

    /// Largest depth of fields within fields.
    #[arg(
        long = "limit-depth",
        env = "SYMBOLON_LIMIT_DEPTH",
        value_name = "N",
        default_value_t = 20,
        value_parser = |text: &str| ranges::LIMIT_DEPTH.parse::<usize>(text)
    )]
    pub depth: usize,

    /// Largest number of root fields of an operation, with fragments expanded.
    #[arg(
        long = "limit-root-fields",
        env = "SYMBOLON_LIMIT_ROOT_FIELDS",
        value_name = "N",
        default_value_t = 50,
        value_parser = |text: &str| ranges::LIMIT_ROOT_FIELDS.parse::<usize>(text)
    )]
    pub root_fields: usize,

    /// Largest complexity of a document: its number of fields. The fields of a list are multiplied by the
    /// largest number of its entries.
    #[arg(
        long = "limit-complexity",
        env = "SYMBOLON_LIMIT_COMPLEXITY",
        value_name = "N",
        default_value_t = 5000,
        value_parser = |text: &str| ranges::LIMIT_COMPLEXITY.parse::<usize>(text)
    )]
    pub complexity: usize,

    /// Allow introspection of the schema. If it is disabled, error messages do not suggest names either.
    #[arg(long, env = "SYMBOLON_INTROSPECTION", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub introspection: bool,
}

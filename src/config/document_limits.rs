//! Limits on GraphQL documents.

use crate::config::defaults_macro::with_defaults;

with_defaults! {
    /// Limits on GraphQL documents. The error `LIMIT_EXCEEDED` names the limit that a document exceeds.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let mut config = Config::new("sqlite://app.db");
    /// config.limits.depth = 12;
    /// // A private API does not describe itself.
    /// config.limits.introspection = false;
    /// ```
    pub struct Limits {
        /// Maximum size of a document, and of each operation after the expansion of fragments, in bytes.
        pub document_bytes: usize = 32_768,

        /// Maximum number of lexical tokens in a document
        /// ([GraphQL, section
        /// 2.1.6](https://spec.graphql.org/October2021/#sec-Language.Source-Text.Lexical-Tokens)). Also the
        /// maximum number of values in the variables.
        pub tokens: usize = 4000,

        /// Maximum depth of nested brackets in a document and in its variables.
        pub nesting: usize = 50,

        /// Maximum number of selections and directives in the operations of a document, after the expansion of
        /// fragments.
        pub selections: usize = 2000,

        /// Maximum depth of nested fields.
        pub depth: usize = 20,

        /// Maximum number of fields at the root of an operation.
        pub root_fields: usize = 50,

        /// Maximum number of fields to resolve. The number of fields of a list item is multiplied by the
        /// maximum length of the list.
        pub complexity: usize = 5000,

        /// Whether clients can query the schema.
        pub introspection: bool = true,
    }
}

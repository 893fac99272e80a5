//! The syntax of GraphQL documents.
//!
//! The parser of async-graphql is not used, because it accepts some texts that are not GraphQL, refuses some
//! that are, and does not report all positions (docs/async-graphql-issues.md).

pub(super) mod ast;
mod conversion;
mod lexer;
pub(super) mod parser;
mod string_literal;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::parser::parse;
    use crate::config::Limits;

    /// Values without nesting. Some contain brackets in strings.
    const LEAVES: &str = r#""" "[[[" """[[[""" """a\"""[""" "\"[" "\\" 1 $v"#;

    fn limits(nesting: usize) -> Limits {
        Limits {
            nesting,
            ..Limits::default()
        }
    }

    /// Generates a document with a value of random nesting, and the nesting of the document.
    fn document() -> impl Strategy<Value = (String, usize)> {
        let leaves: Vec<_> = LEAVES.split(' ').collect();
        let leaf = select(leaves).prop_map(|leaf| (leaf.to_owned(), 0));
        let value = leaf.prop_recursive(8, 32, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(|values| {
                    let (texts, depths): (Vec<_>, Vec<_>) = values.into_iter().unzip();
                    let deepest = depths.into_iter().max().unwrap_or(0);
                    (format!("[{}]", texts.join(" ")), deepest + 1)
                }),
                inner.prop_map(|(text, depth)| (format!("{{k:{text}}}"), depth + 1)),
            ]
        });
        value.prop_map(|(text, depth)| (format!("{{a(b:{text})}}"), depth + 2))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_nesting_of_a_document_is_exact((text, depth) in document()) {
            prop_assert!(parse(&text, &limits(depth)).is_ok(), "{text}");
            prop_assert!(parse(&text, &limits(depth - 1)).is_err(), "{text}");
        }
    }
}

//! Limits on the text of documents, which is checked before it is parsed, and on the values of variables.

use async_graphql::{Value, Variables};

use crate::config::Limits;
use crate::error::Error;

/// The maximum length of a name or number in a document, in bytes. The length is limited because a
/// response repeats an alias for each entry of a list.
const NAME_BYTES: usize = 256;

/// Checks the length, the number of tokens and the nesting of a text in one pass, and returns the
/// number of tokens. The text need not be valid GraphQL.
pub(super) fn check_text(text: &str, limits: &Limits) -> Result<usize, Error> {
    check_limit("documentBytes", text.len(), limits.document_bytes)?;
    let bytes = text.as_bytes();
    let (mut position, mut tokens, mut nesting) = (0, 0, 0_usize);
    while let Some(&byte) = bytes.get(position) {
        let rest = &bytes[position..];
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                position += 1;
                continue;
            }
            b'#' => {
                let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                position += rest.iter().position(is_line_end).unwrap_or(rest.len());
                continue;
            }
            b'"' => string_length(rest),
            b'{' | b'[' | b'(' => {
                nesting += 1;
                check_limit("nesting", nesting, limits.nesting)?;
                1
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                1
            }
            _ if is_word(byte) => {
                let end = rest.iter().position(|byte| !is_word(*byte));
                let length = end.unwrap_or(rest.len());
                check_limit("nameBytes", length, NAME_BYTES)?;
                length
            }
            _ => 1,
        };
        position += length;
        tokens += 1;
        check_limit("tokens", tokens, limits.tokens)?;
    }
    Ok(tokens)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns the length of the string literal at the start of `bytes`. A string that is not closed extends to
/// the end, because the parser refuses the document.
fn string_length(bytes: &[u8]) -> usize {
    let is_block = bytes.starts_with(br#"""""#);
    let mut position = if is_block { 3 } else { 1 };
    loop {
        let rest = &bytes[position.min(bytes.len())..];
        position += match rest {
            [b'\\', b'"', b'"', b'"', ..] if is_block => 4,
            [b'"', b'"', b'"', ..] if is_block => return position + 3,
            [b'\\', _, ..] if !is_block => 2,
            [b'"', ..] if !is_block => return position + 1,
            [b'\r' | b'\n', ..] if !is_block => return bytes.len(),
            [_, ..] => 1,
            [] => return bytes.len(),
        };
    }
}

/// Checks the nesting and the number of the values in variables, because these values are copied for each
/// field that uses them. The limit on the request body also limits the length of the values.
pub(super) fn check_variables(variables: &Variables, limits: &Limits) -> Result<(), Error> {
    let (depth, count) = measure(&mut variables.values());
    check_limit("nesting", depth, limits.nesting)?;
    check_limit("tokens", count, limits.tokens)
}

/// Returns the nesting depth of values, and their number.
fn measure(values: &mut dyn Iterator<Item = &Value>) -> (usize, usize) {
    let nested = |(depth, count)| (depth + 1, count + 1);
    let measured = values.map(|value| match value {
        Value::List(items) => nested(measure(&mut items.iter())),
        Value::Object(fields) => nested(measure(&mut fields.values())),
        _ => (0, 1),
    });
    measured.fold((0, 0), |(deepest, all), (depth, count)| {
        (deepest.max(depth), all + count)
    })
}

/// Returns an error if a value exceeds a limit.
pub(super) fn check_limit(limit: &'static str, value: usize, max: usize) -> Result<(), Error> {
    if value > max {
        return Err(Error::LimitExceeded(limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use apollo_compiler::parser::Parser;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Values without nesting. Some contain brackets in strings.
    const LEAVES: &str = r#""" "[[[" """[[[""" """a\"""[""" "\"[" "\\" 1 $v"#;

    fn limits(nesting: usize) -> Limits {
        Limits {
            nesting,
            ..Limits::default()
        }
    }

    /// Returns whether the parser accepts a text with this nesting.
    fn parses(text: &str, nesting: usize) -> bool {
        let mut parser = Parser::new().recursion_limit(nesting + 1);
        parser.parse_ast(text, "").is_ok()
    }

    /// Generates texts of GraphQL tokens and of characters that break tokens.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[{}\\[\\]()\"\\\\#\n\r ,:a!=1é\u{feff}\u{0}]",
            "\"\"\"|\\\\\"\"\"|\\.\\.\\.|on |query|fragment |\\$v|@d|-1\\.5e3",
            "[ -~]{0,8}",
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
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
        fn a_text_without_brackets_is_no_document_for_the_parser(text in text()) {
            let _ = check_text(&text, &limits(50));
            if check_text(&text, &limits(0)).is_ok() {
                prop_assert!(!parses(&text, 0));
            }
        }

        #[test]
        fn the_nesting_of_a_document_is_exact((text, depth) in document()) {
            prop_assert!(parses(&text, depth), "{text}");
            prop_assert!(check_text(&text, &limits(depth)).is_ok(), "{text}");
            prop_assert!(check_text(&text, &limits(depth - 1)).is_err(), "{text}");
        }
    }
}

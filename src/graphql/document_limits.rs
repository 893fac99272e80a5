//! What a document may ask for. Its text is checked before it is parsed, since the parser's stack has
//! no bound; the document before anything walks through its fragments, since they can multiply.

use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Value, Variables};

use crate::config::Limits;
use crate::error::Error;

/// The longest name or number of a document, in bytes. An alias is repeated with each entry of a list.
const NAME_BYTES: usize = 256;

/// Checks bytes, tokens and nesting of a text in one pass, however little it is GraphQL; how many
/// tokens it has.
pub(super) fn check_text(text: &str, limits: &Limits) -> Result<usize, Error> {
    within("documentBytes", text.len(), limits.document_bytes)?;
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                let end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                at += bytes[at..].iter().position(end).unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => string(&bytes[at..])?,
            b'{' | b'[' | b'(' => {
                open += 1;
                within("nesting", open, limits.nesting)?;
                1
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                1
            }
            _ if is_word(byte) => {
                let rest = &bytes[at..];
                let end = rest.iter().position(|byte| !is_word(*byte));
                let length = end.unwrap_or(rest.len());
                within("nameBytes", length, NAME_BYTES)?;
                length
            }
            _ => 1,
        };
        at += length;
        tokens += 1;
        within("tokens", tokens, limits.tokens)?;
    }
    Ok(tokens)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of the string that `bytes` start with. One that does not end is refused here: a parser
/// that takes it for something else could find brackets in it.
fn string(bytes: &[u8]) -> Result<usize, Error> {
    let block = bytes.starts_with(br#"""""#);
    let mut at = if block { 3 } else { 1 };
    loop {
        let rest = &bytes[at.min(bytes.len())..];
        at += match rest {
            [b'\\', b'"', b'"', b'"', ..] if block => 4,
            [b'"', b'"', b'"', ..] if block => return Ok(at + 3),
            [b'\\', _, ..] if !block => 2,
            [b'"', ..] if !block => return Ok(at + 1),
            [b'\r' | b'\n', ..] if !block => return Err(unterminated()),
            [_, ..] => 1,
            [] => return Err(unterminated()),
        };
    }
}

fn unterminated() -> Error {
    Error::GraphqlParseFailed("The document is not GraphQL: a string does not end.".to_owned())
}

/// Checks the nesting and the number of the values of variables, which are copied for each field that uses
/// them. Their size in bytes is that of the body.
pub(super) fn check_variables(variables: &Variables, limits: &Limits) -> Result<(), Error> {
    fn nesting(value: &Value, count: &mut usize) -> usize {
        *count += 1;
        match value {
            Value::List(list) => {
                1 + (list.iter().map(|value| nesting(value, count)).max()).unwrap_or(0)
            }
            Value::Object(object) => {
                1 + (object.values().map(|value| nesting(value, count)).max()).unwrap_or(0)
            }
            _ => 0,
        }
    }
    let mut count = 0;
    let values = variables.values().map(|value| nesting(value, &mut count));
    let deepest = values.max().unwrap_or(0);
    within("nesting", deepest, limits.nesting)?;
    within("tokens", count, limits.tokens)
}

/// Checks an operation with its fragments spread out, in time that grows with the text only. Returns how
/// often `__typename` has an alias in it.
pub(super) fn check_operation(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    limits: &Limits,
) -> Result<usize, Error> {
    let mut measure = CostVisitor {
        document,
        fragments: HashMap::new(),
        open: 0,
        nesting: limits.nesting,
    };
    let variables = operation.variable_definitions.iter();
    let on_variables: usize = variables
        .map(|definition| definition.node.directives.len())
        .sum();
    let cost = measure.selections(&operation.selection_set.node)?;
    let directives = cost
        .directives
        .saturating_add(operation.directives.len())
        .saturating_add(on_variables);
    within("selections", cost.selections, limits.selections)?;
    within("rootFields", cost.width, limits.root_fields)?;
    within("aliases", cost.aliases, limits.aliases)?;
    within("directives", directives, limits.directives)?;
    within("depth", cost.depth, limits.depth)?;
    within("nesting", cost.levels, limits.nesting)?;
    within("introspectionDepth", cost.introspection, 2)?;
    Ok(cost.typename_aliases)
}

/// The fields of the schema's own types that lead from one type to many.
const LISTS_OF_TYPES: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// How much selections ask for, with the fragments in them spread out.
#[derive(Clone, Copy, Default)]
struct DocumentCost {
    /// All selections, at any depth.
    selections: usize,
    /// Fields that are not within a field.
    width: usize,
    aliases: usize,
    /// Aliases of `__typename`.
    typename_aliases: usize,
    directives: usize,
    /// Fields within fields.
    depth: usize,
    /// Selections within selections, fragments among them.
    levels: usize,
    /// [`LISTS_OF_TYPES`] within each other.
    lists_of_types: usize,
    /// The same, below `__schema` and `__type`.
    introspection: usize,
}

impl DocumentCost {
    /// Adds what stands beside.
    fn beside(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.typename_aliases = self.typename_aliases.saturating_add(other.typename_aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels);
        self.lists_of_types = self.lists_of_types.max(other.lists_of_types);
        self.introspection = self.introspection.max(other.introspection);
    }
}

struct CostVisitor<'a> {
    document: &'a ExecutableDocument,
    /// What is known of each fragment; nothing while it is being measured.
    fragments: HashMap<&'a Name, Option<DocumentCost>>,
    /// Selections that are being measured, each within the one before.
    open: usize,
    nesting: usize,
}

impl<'a> CostVisitor<'a> {
    fn selections(&mut self, set: &'a SelectionSet) -> Result<DocumentCost, Error> {
        let mut whole = DocumentCost::default();
        for selection in &set.items {
            whole.beside(self.selection(&selection.node)?);
        }
        Ok(whole)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<DocumentCost, Error> {
        self.open += 1;
        within("nesting", self.open, self.nesting)?;
        let mut cost = match selection {
            Selection::Field(field) => {
                let field = &field.node;
                let below = self.selections(&field.selection_set.node)?;
                let name = field.name.node.as_str();
                let lists = below.lists_of_types + usize::from(LISTS_OF_TYPES.contains(&name));
                let is_alias_of_typename = field.alias.is_some() && name == "__typename";
                let introspects = matches!(name, "__schema" | "__type");
                DocumentCost {
                    width: 1,
                    aliases: below.aliases.saturating_add(field.alias.is_some().into()),
                    typename_aliases: below.typename_aliases + usize::from(is_alias_of_typename),
                    depth: below.depth + 1,
                    lists_of_types: lists,
                    introspection: if introspects {
                        lists
                    } else {
                        below.introspection
                    },
                    ..below
                }
            }
            Selection::InlineFragment(fragment) => {
                self.selections(&fragment.node.selection_set.node)?
            }
            Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
        };
        let directives = selection.directives().len();
        cost.directives = cost.directives.saturating_add(directives);
        cost.selections = cost.selections.saturating_add(1);
        cost.levels += 1;
        self.open -= 1;
        Ok(cost)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<DocumentCost, Error> {
        if let Some(known) = self.fragments.get(name) {
            let cycle = || format!("The fragment {name} spreads itself.");
            return known.ok_or_else(|| Error::GraphqlValidationFailed(cycle()));
        }
        // Validation says what is wrong with a fragment that is not there.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(DocumentCost::default());
        };
        self.fragments.insert(name, None);
        let mut cost = self.selections(&fragment.node.selection_set.node)?;
        let directives = fragment.node.directives.len();
        cost.directives = cost.directives.saturating_add(directives);
        self.fragments.insert(name, Some(cost));
        Ok(cost)
    }
}

fn within(limit: &'static str, value: usize, most: usize) -> Result<(), Error> {
    if value > most {
        return Err(Error::LimitExceeded(limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;

    use super::*;

    fn limits(nesting: usize) -> Limits {
        Limits {
            nesting,
            ..Limits::default()
        }
    }

    /// Pieces that GraphQL texts are made of, and what breaks them.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "{",
                "}",
                "[",
                "]",
                "(",
                ")",
                "\"",
                "\"\"\"",
                "\\",
                "\\\"\"\"",
                "#",
                "\n",
                "\r",
                " ",
                ",",
                ":",
                "...",
                "on ",
                "a",
                "query",
                "fragment ",
                "$v",
                "@d",
                "!",
                "=",
                "1",
                "-1.5e3",
                "é",
                "\u{feff}",
                "\u{0}",
            ])
            .prop_map(str::to_owned),
            "[ -~]{0,8}",
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// GraphQL with values of any nesting, and strings in which brackets hide.
    fn document() -> impl Strategy<Value = (String, usize)> {
        let string = proptest::sample::select(vec![
            r#""""#,
            r#""[[["#,
            r#""""[[[""""#,
            r#""""a\"""[""""#,
            r#""\"[""#,
            r#""\\""#,
            "1",
            "$v",
        ]);
        let leaf = string.prop_map(|leaf| {
            let closed = if leaf == r#""[[["# { r#""[[[""# } else { leaf };
            (closed.to_owned(), 0)
        });
        let value = leaf.prop_recursive(8, 32, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(|values| {
                    let deepest = values.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
                    let texts: Vec<_> = values.into_iter().map(|(text, _)| text).collect();
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
        fn any_text_is_checked_without_a_panic(text in text()) {
            let _ = check_text(&text, &limits(50));
        }

        #[test]
        fn what_passes_never_nests_deeper_for_the_parser_than_was_counted(text in text()) {
            // With no brackets allowed, a text that passes can hold no operation.
            if check_text(&text, &limits(0)).is_ok() {
                prop_assert!(parse_query(&text).is_err());
            }
        }

        #[test]
        fn nesting_is_counted_to_the_bracket((text, depth) in document()) {
            prop_assert!(parse_query(&text).is_ok(), "{text}");
            prop_assert!(check_text(&text, &limits(depth)).is_ok(), "{text}");
            prop_assert!(check_text(&text, &limits(depth - 1)).is_err(), "{text}");
        }
    }
}

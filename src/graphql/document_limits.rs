//! Limits on documents and on the values of variables. The text is checked before it is parsed. The operation
//! is checked before its fragments are expanded, because nested fragments can multiply the number of
//! selections exponentially.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    FragmentDefinition, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};

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

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The properties of an operation that is within the limits.
pub(super) struct OperationCost {
    /// The number of aliases that can multiply the size of the response, but that the complexity does not
    /// include. Fragments are expanded.
    pub(super) multiplying_aliases: usize,
    /// The number of selections and directives.
    selections: usize,
    /// The names of the fragments that the operation uses.
    pub(super) fragments: HashSet<Name>,
}

/// Checks the operations of a document as if their fragments were expanded. Returns the cost of each operation. The limit
/// on selections applies to all operations together, because all are validated.
pub(super) fn check_operations(
    fragments: &Fragments,
    operations: &[Positioned<OperationDefinition>],
    limits: &Limits,
) -> Result<Vec<OperationCost>, Error> {
    let mut costs = Vec::with_capacity(operations.len());
    let mut selections = 0_usize;
    for operation in operations {
        let cost = check_operation(fragments, &operation.node, limits)?;
        selections = selections.saturating_add(cost.selections);
        check_limit("selections", selections, limits.selections)?;
        costs.push(cost);
    }
    Ok(costs)
}

/// The time is linear in the length of the text.
fn check_operation(
    fragments: &Fragments,
    operation: &OperationDefinition,
    limits: &Limits,
) -> Result<OperationCost, Error> {
    let mut visitor = CostVisitor {
        definitions: fragments,
        fragments: HashMap::new(),
        nesting: 0,
        max_nesting: limits.nesting,
    };
    let cost = visitor.selection_set(&operation.selection_set.node)?;
    // Validation returns an error for each invalid directive.
    let variables = operation.variable_definitions.iter();
    let on_variables: usize = variables
        .map(|variable| variable.node.directives.len())
        .sum();
    let directives = operation.directives.len().saturating_add(on_variables);
    let selections = cost.selections.saturating_add(directives);
    // The complexity of a root field does not account for SQL statements and transactions. Without this limit,
    // a document of 10 KB can contain 900 root fields. These fields could issue 900 session tokens, each in its
    // own transaction. They could also count all users 900 times, which uses 38 MB of memory. With the default
    // limit of 50 root fields, this uses 4 MB.
    check_limit("rootFields", cost.root_fields, limits.root_fields)?;
    check_limit("depth", cost.depth, limits.depth)?;
    check_limit("nesting", cost.nesting, limits.nesting)?;
    check_limit("introspectionDepth", cost.introspection_depth, 2)?;
    Ok(OperationCost {
        selections,
        multiplying_aliases: cost.multiplying_aliases,
        fragments: visitor.fragments.into_keys().cloned().collect(),
    })
}

/// The introspection fields that lead from one type to a list of types.
const TYPE_LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// The cost of selections, with fragments expanded.
#[derive(Clone, Copy, Default)]
struct DocumentCost {
    /// The number of selections and directives, at any depth.
    selections: usize,
    /// The number of fields that are not nested in another field.
    root_fields: usize,
    /// The number of aliases at any depth.
    aliases: usize,
    /// The number of aliases of `__typename`, plus the number of all aliases below `__schema` and `__type`.
    /// async-graphql assigns no complexity to `__typename`, and counts a list of types as one type.
    multiplying_aliases: usize,
    /// The nesting depth of fields.
    depth: usize,
    /// The nesting depth of selections, including fragments.
    nesting: usize,
    /// The nesting depth of the fields in [`TYPE_LISTS`].
    type_lists: usize,
    /// The nesting depth of the fields in [`TYPE_LISTS`] that are below `__schema` or `__type`.
    introspection_depth: usize,
}

impl DocumentCost {
    /// Adds the cost of a sibling selection.
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.multiplying_aliases =
            (self.multiplying_aliases).saturating_add(other.multiplying_aliases);
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.type_lists = self.type_lists.max(other.type_lists);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
    }
}

struct CostVisitor<'a> {
    definitions: &'a Fragments,
    /// The cost of each visited fragment. `None` while the fragment is being visited.
    fragments: HashMap<&'a Name, Option<DocumentCost>>,
    /// The nesting of the selection that is being visited.
    nesting: usize,
    max_nesting: usize,
}

impl<'a> CostVisitor<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<DocumentCost, Error> {
        let mut cost = DocumentCost::default();
        for selection in &set.items {
            cost.add(self.selection(&selection.node)?);
        }
        Ok(cost)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<DocumentCost, Error> {
        self.nesting += 1;
        check_limit("nesting", self.nesting, self.max_nesting)?;
        let mut cost = match selection {
            Selection::Field(field) => {
                let field = &field.node;
                let mut cost = self.selection_set(&field.selection_set.node)?;
                let name = field.name.node.as_str();
                let has_alias = field.alias.is_some();
                cost.root_fields = 1;
                cost.depth += 1;
                cost.type_lists += usize::from(TYPE_LISTS.contains(&name));
                if matches!(name, "__schema" | "__type") {
                    cost.introspection_depth = cost.type_lists;
                    cost.multiplying_aliases = cost.aliases;
                }
                cost.aliases = cost.aliases.saturating_add(has_alias.into());
                if has_alias && name == "__typename" {
                    cost.multiplying_aliases = 1;
                }
                cost
            }
            Selection::InlineFragment(fragment) => {
                self.selection_set(&fragment.node.selection_set.node)?
            }
            Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
        };
        let directives = selection.directives().len();
        cost.selections = cost.selections.saturating_add(1 + directives);
        cost.nesting += 1;
        self.nesting -= 1;
        Ok(cost)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<DocumentCost, Error> {
        if let Some(cost) = self.fragments.get(name) {
            // Validation refuses cycles.
            return Ok(cost.unwrap_or_default());
        }
        // Validation refuses undefined fragments.
        let Some(fragment) = self.definitions.get(name) else {
            return Ok(DocumentCost::default());
        };
        self.fragments.insert(name, None);
        let mut cost = self.selection_set(&fragment.node.selection_set.node)?;
        cost.selections = (cost.selections).saturating_add(fragment.node.directives.len());
        self.fragments.insert(name, Some(cost));
        Ok(cost)
    }
}

/// Returns an error if a value exceeds a limit.
fn check_limit(limit: &'static str, value: usize, max: usize) -> Result<(), Error> {
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

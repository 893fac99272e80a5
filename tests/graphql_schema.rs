//! The file `schema.graphql`.

use crate::support::{finish, symbolon};

#[test]
fn the_committed_schema_equals_the_served_schema() {
    let folder = tempfile::tempdir().unwrap();
    let (code, printed, _) = finish(symbolon(folder.path()).arg("schema"));
    assert_eq!(code, Some(0));
    let committed = include_str!("../schema.graphql");
    assert!(
        printed == committed,
        "schema.graphql is out of date: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn every_schema_element_has_a_description() {
    let schema = include_str!("../schema.graphql");
    let mut described = false;
    let mut in_text = false;
    for line in schema.lines().map(str::trim) {
        if line == "\"\"\"" {
            in_text = !in_text;
            described = true;
        } else if !in_text && !line.is_empty() && !line.starts_with([')', '}']) {
            assert!(
                described || line.starts_with("schema") || in_root(line),
                "{line}"
            );
            described = false;
        }
    }
}

/// Returns whether a line is a field of the `schema` definition.
fn in_root(line: &str) -> bool {
    line == "query: Query" || line == "mutation: Mutation"
}

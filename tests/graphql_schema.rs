//! The file `schema.graphql`.

use crate::support::{Answer, TestApp, finish, symbolon};

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

#[tokio::test]
async fn introspection_is_enabled_by_default_and_can_be_disabled() {
    let open = TestApp::start().await;
    let closed = TestApp::configured(|config| config.limits.introspection = false).await;
    for (document, name) in [
        ("{ __schema { types { name } } }", "CreateUserPayload"),
        (
            "{ __type(name: \"CreateUserPayload\") { fields { name } } }",
            "userErrors",
        ),
    ] {
        let introspected = open.graphql(document).send().await;
        let name = format!("\"{name}\"");
        let contains_name = |answer: &Answer| {
            let text = answer.body.to_string().replace("\\\"", "\"");
            text.contains(&name)
        };
        assert!(contains_name(&introspected), "{introspected:?}");
        let hidden = closed.graphql(document).send().await;
        assert!(!contains_name(&hidden), "{hidden:?}");
        assert_eq!(hidden.error().0, "GRAPHQL_VALIDATION_FAILED");
    }
    let typename = closed.graphql("{ __typename }").send().await;
    assert_eq!(typename.at("/data/__typename"), "Query");
    // No error message suggests names from the schema.
    for misspelt in [
        "{ usrs { totalCount } }",
        "{ me { usernam } }",
        "{ user(usernam: \"ada\") { id } }",
    ] {
        let refused = closed.graphql(misspelt).send().await;
        assert_eq!(refused.error().0, "GRAPHQL_VALIDATION_FAILED");
        let message = refused.at("/errors/0/message").to_string();
        assert!(
            !message.contains("users") && !message.contains("`username`"),
            "{message}"
        );
    }
}

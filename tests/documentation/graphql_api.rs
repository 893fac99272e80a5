//! docs/graphql-api.md: the test sends each operation to a server, in the order of the page, and compares the answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use symbolon::{Registration, Role};

use crate::support::TestApp;

use super::{Block, Page};

/// The values of the placeholders, such as `<session>`, by their names.
type Values = BTreeMap<String, String>;

/// Compares an answer with the answer in the page. Stores the value of each new placeholder.
fn compare(shown: &Value, answer: &Value, values: &mut Values) -> bool {
    let placeholder = |text: &str| -> Option<String> {
        let name = text.strip_prefix('<')?.strip_suffix('>')?;
        Some(name.to_owned())
    };
    match (shown, answer) {
        (Value::Object(shown), Value::Object(answer)) => {
            shown.len() == answer.len()
                && shown.iter().all(|(name, shown)| {
                    let answer = answer.get(name);
                    answer.is_some_and(|answer| compare(shown, answer, values))
                })
        }
        (Value::Array(shown), Value::Array(answer)) => {
            shown.len() == answer.len()
                && shown
                    .iter()
                    .zip(answer)
                    .all(|(shown, answer)| compare(shown, answer, values))
        }
        (Value::String(shown), Value::String(answer)) => match placeholder(shown) {
            Some(name) => values.entry(name).or_insert_with(|| answer.clone()) == answer,
            None => with_values(shown, values) == *answer,
        },
        (shown, answer) => shown == answer,
    }
}

/// Replaces the placeholders by their values.
fn with_values(text: &str, values: &Values) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("<{name}>"), value)
    })
}

fn json_of(block: &Block) -> Value {
    serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.line))
}

#[tokio::test]
async fn every_operation_has_the_answer_that_the_page_shows() {
    let app = TestApp::start().await;
    let grace = Registration {
        username: "grace".to_owned(),
        email: None,
        password: "brass compiler".to_owned(),
    };
    app.operator().add_user(&grace, Role::Admin).await.unwrap();
    let page = Page::read("docs/graphql-api.md");
    let blocks = page.blocks();
    let mut values = Values::new();
    let mut operations = 0;
    for (index, block) in blocks.iter().enumerate() {
        if block.language != "graphql" {
            continue;
        }
        operations += 1;
        let mut following = blocks[index + 1..]
            .iter()
            .take_while(|block| block.language == "json");
        let variables = if block.text.contains('$') {
            json_of(following.next().unwrap())
        } else {
            json!({})
        };
        let variables = with_values(&variables.to_string(), &values);
        let shown = json_of(following.next().unwrap());
        let document = with_values(&block.text, &values);
        let variables = serde_json::from_str(&variables).unwrap();
        let request = app.graphql_with(&document, &variables);
        let credentials = document.lines().next().unwrap();
        let request = match credentials.strip_prefix("# Authorization: ") {
            None => request,
            Some(credentials) => match credentials.split_once(' ').unwrap() {
                ("Basic", pair) => {
                    let (username, password) = pair.split_once(':').unwrap();
                    request.basic(username, password)
                }
                ("Bearer", token) => request.bearer(token),
                _ => panic!("{credentials}"),
            },
        };
        let answer = request.send().await;
        let is_as_shown = compare(&shown, &answer.body, &mut values);
        assert!(
            is_as_shown,
            "{}:{}: {}\n{values:?}",
            page.name, block.line, answer.body
        );
    }
    assert!(operations > 30, "{operations}");
}

#[test]
fn every_root_field_is_in_an_example() {
    let schema = include_str!("../../schema.graphql");
    let page = Page::read("docs/graphql-api.md");
    let blocks = page.blocks();
    let graphql = blocks.iter().filter(|block| block.language == "graphql");
    let text: String = graphql.map(|block| block.text.as_str()).collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let used: BTreeSet<_> = text.split(|c| !is_name(c)).collect();
    let mut fields = 0;
    for root in ["type Query {\n", "type Mutation {\n"] {
        let (_, body) = schema.split_once(root).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        // The parts with an even index are outside of descriptions.
        for code in body.split("\"\"\"").step_by(2) {
            let lines = code.lines().filter_map(|line| line.strip_prefix('\t'));
            for line in lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())) {
                let field = line.split(['(', ':']).next().unwrap();
                assert!(used.contains(field), "{field} has no example");
                fields += 1;
            }
        }
    }
    assert!(fields >= 24, "{fields}");
}

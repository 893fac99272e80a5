//! The limits of GraphQL documents, and documents that are known to exhaust servers.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use symbolon::{Config, Limits};

use crate::support::{Answer, Server, TestApp};

/// The introspection query of GraphiQL and code generators, with nine type wrappers.
fn full_introspection() -> String {
    let mut of_type = "kind name".to_owned();
    for _ in 0..9 {
        of_type = format!("kind name ofType {{ {of_type} }}");
    }
    format!(
        "query IntrospectionQuery {{ __schema {{
            description queryType {{ name kind }} mutationType {{ name kind }}
            subscriptionType {{ name kind }} types {{ ...FullType }}
            directives {{ name description isRepeatable locations
                args(includeDeprecated: true) {{ ...InputValue }} }} }} }}
        fragment FullType on __Type {{ kind name description specifiedByURL
            fields(includeDeprecated: true) {{ name description
                args(includeDeprecated: true) {{ ...InputValue }}
                type {{ ...TypeRef }} isDeprecated deprecationReason }}
            inputFields(includeDeprecated: true) {{ ...InputValue }}
            interfaces {{ ...TypeRef }}
            enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
            possibleTypes {{ ...TypeRef }} }}
        fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }}
            defaultValue isDeprecated deprecationReason }}
        fragment TypeRef on __Type {{ {of_type} }}"
    )
}

#[tokio::test]
async fn the_introspection_of_tools_passes() {
    let app = TestApp::start().await;
    let answer = app.graphql(&full_introspection()).send().await;
    assert_eq!(answer.at("/errors"), &Value::Null, "{answer:?}");
    let types = answer.at("/data/__schema/types").as_array().unwrap();
    assert!(
        types
            .iter()
            .any(|a_type| a_type["name"] == "CreateUserPayload")
    );
}

#[tokio::test]
async fn nested_introspection_is_refused() {
    let app = TestApp::start().await;
    for list in ["fields", "interfaces", "possibleTypes", "inputFields"] {
        let into = if list.ends_with("ields") {
            " type {"
        } else {
            " {"
        };
        let nested = |times: usize| {
            let leaf = if list.ends_with("ields") {
                "{ name }"
            } else {
                "{ kind }"
            };
            let mut document = "{ __schema { types {".to_owned();
            for level in 1..=times {
                document += &format!(" {list}");
                document += &match (level == times, list.ends_with("ields")) {
                    (true, _) => format!(" {leaf}"),
                    (false, true) => format!(" {{{into}"),
                    (false, false) => into.to_owned(),
                };
            }
            let open = document.matches('{').count() - document.matches('}').count();
            document + &" }".repeat(open)
        };
        let twice = app.graphql(&nested(2)).send().await;
        assert_eq!(
            twice.at("/errors"),
            &Value::Null,
            "{}: {twice:?}",
            nested(2)
        );
        let thrice = app.graphql(&nested(3)).send().await;
        assert_eq!(thrice.error().0, "LIMIT_EXCEEDED", "{}", nested(3));
        let limit = thrice.at("/errors/0/extensions/limit");
        assert_eq!(limit, "introspectionDepth");
    }
    let hidden = "query { __type(name: \"User\") { ...A } }
        fragment A on __Type { fields { type { ...B } } }
        fragment B on __Type { fields { type { ...C } } }
        fragment C on __Type { fields { name } }";
    let hidden = app.graphql(hidden).send().await;
    assert_eq!(
        hidden.at("/errors/0/extensions/limit"),
        "introspectionDepth"
    );
}

/// Sends a document at a limit and a document above it.
async fn holds(
    name: &str,
    configure: impl FnOnce(&mut Limits),
    within: impl Into<String>,
    over: impl Into<String>,
) {
    let app = TestApp::configured(|config: &mut Config| configure(&mut config.limits)).await;
    let (within, over) = (within.into(), over.into());
    let answer = app.graphql(&within).send().await;
    assert_eq!(
        answer.at("/errors"),
        &Value::Null,
        "{name}, {within}: {answer:?}"
    );
    let answer = app.graphql(&over).send().await;
    assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{name}, {over}");
    assert_eq!(answer.at("/errors/0/extensions/limit"), name);
    assert_eq!(answer.status, 400, "{name}");
    assert!(
        answer
            .at("/errors/0/message")
            .as_str()
            .unwrap()
            .contains(name)
    );
}

#[tokio::test]
async fn a_response_has_at_most_100_validation_errors() {
    let app = TestApp::start().await;
    let fields: String = (0..1300).map(|n| format!("a{n}: unknown ")).collect();
    let document = format!("{{ __schema {{ queryType {{ {fields} }} }} }}");
    let answer = app.graphql(&document).send().await;
    assert_eq!(
        answer.at("/errors/0/extensions/code"),
        "GRAPHQL_VALIDATION_FAILED"
    );
    assert_eq!(answer.at("/errors").as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn each_limit_is_exact_and_named_in_the_error() {
    let fields = |number: usize| format!("{{ {} }}", "__typename ".repeat(number));
    holds(
        "documentBytes",
        |limits| limits.document_bytes = 20,
        "{ __typename }      ",
        "{ __typename }       ",
    )
    .await;
    // Each use of a fragment counts.
    let fragment = "fragment F on Query { a: __typename }";
    let spreads = |number: usize| format!("{{ {} }} {fragment}", "...F ".repeat(number));
    holds(
        "documentBytes",
        |limits| limits.document_bytes = 4 + 2 * 5 + 2 * fragment.len(),
        spreads(2),
        spreads(3),
    )
    .await;
    holds("tokens", |limits| limits.tokens = 10, fields(8), fields(9)).await;
    holds(
        "nesting",
        |limits| limits.nesting = 3,
        "{ __schema { queryType { name } } }",
        "{ __schema { queryType { fields { name } } } }",
    )
    .await;
    holds(
        "rootFields",
        |limits| limits.root_fields = 3,
        fields(3),
        fields(4),
    )
    .await;
    holds(
        "depth",
        |limits| limits.depth = 2,
        "{ __schema { description } }",
        "{ __schema { queryType { name } } }",
    )
    .await;
    holds(
        "selections",
        |limits| limits.selections = 7,
        "{ ...A ...A } fragment A on Query { __typename __typename }",
        "{ ...A ...A __typename __typename } fragment A on Query { __typename __typename }",
    )
    .await;
    holds(
        "selections",
        |limits| limits.selections = 2,
        "{ __typename @skip(if: false) }",
        "{ __typename @skip(if: false) @include(if: true) }",
    )
    .await;
    holds(
        "complexity",
        |limits| limits.complexity = 3,
        "{ __schema { description } __typename }",
        "{ __schema { description } __type(name: \"User\") { name kind } }",
    )
    .await;
}

#[tokio::test]
async fn fragments_do_not_bypass_a_limit() {
    let through = |limit: &'static str, configure: fn(&mut Limits), document: &'static str| async move {
        let app = TestApp::configured(|config: &mut Config| configure(&mut config.limits)).await;
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.at("/errors/0/extensions/limit"), limit, "{document}");
    };
    through(
        "rootFields",
        |limits| limits.root_fields = 3,
        "{ ...A ...A } fragment A on Query { ... { __typename } __typename }",
    )
    .await;
    through(
        "selections",
        |limits| limits.selections = 3,
        "query { ...A @skip(if: false) } fragment A on Query { __typename @skip(if: false) }",
    )
    .await;
    through(
        "depth",
        |limits| limits.depth = 2,
        "{ __schema { ...A } } fragment A on __Schema { queryType { name } }",
    )
    .await;
}

#[tokio::test]
async fn variables_have_the_limits_of_documents() {
    let app = TestApp::start().await;
    let nested = |depth: usize| {
        let text = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"query": "query($v: Int) {{ users(first: $v) {{ totalCount }} }}", "variables": {{"v": {text}}}}}"#
        )
    };
    for (depth, code) in [
        (50, "BAD_USER_INPUT"),
        (51, "LIMIT_EXCEEDED"),
        (200, "LIMIT_EXCEEDED"),
        (20_000, "LIMIT_EXCEEDED"),
    ] {
        let request = app
            .request(reqwest::Method::POST, "/graphql")
            .header("content-type", "application/json")
            .body(nested(depth));
        let answer = Answer::of(request).await;
        assert_eq!(answer.error().0, code, "{depth}: {answer:?}");
    }
}

/// Returns documents of this size that are known to exhaust GraphQL servers.
fn attacks(size: usize) -> Vec<(&'static str, String)> {
    let open = |text: &str| text.repeat(size);
    let mut bomb = "{ ...F0 }".to_owned();
    let mut chain = "{ ...F0 }".to_owned();
    for n in 0..size.min(700) {
        let next = n + 1;
        let _ = write!(bomb, " fragment F{n} on Query {{ ...F{next} ...F{next} }}");
        let _ = write!(chain, " fragment F{n} on Query {{ ...F{next} }}");
    }
    let end = size.min(700);
    let _ = write!(bomb, " fragment F{end} on Query {{ __typename }}");
    let _ = write!(chain, " fragment F{end} on Query {{ __typename }}");
    let end = size.min(90);
    let mut operations: String = (0..size.min(400)).fold(String::new(), |text, n| {
        text + &format!("query q{n} {{ ...F0 }} ")
    });
    for n in 0..end {
        let _ = write!(operations, "fragment F{n} on Query {{ ...F{} }} ", n + 1);
    }
    let _ = write!(operations, "fragment F{end} on Query {{ __typename }}");
    let mut values = format!(
        "fragment F on Mutation {{ createAccessToken(input: {{ name: \"a\", scopes: [{}] }}) {{ __typename }} }} ",
        "1 ".repeat(size.min(1_900))
    );
    for n in 0..size.min(240) {
        let _ = write!(values, "mutation M{n} {{ ...F }} ");
    }
    let cycle = chain.replace("{ __typename }", "{ ...F0 }");
    let bomb_without_fields = bomb.replace("{ __typename }", "{ ...Nowhere }");
    vec![
        ("lists", format!("{{ a(b: {}{}) }}", open("["), open("]"))),
        ("operations with a chain of fragments", operations),
        ("operations with a fragment of values", values),
        ("lists that do not end", format!("{{ a(b: {}", open("["))),
        (
            "objects",
            format!("{{ a(b: {}1{}) }}", open("{a:"), open("}")),
        ),
        (
            "objects that do not end",
            format!("{{ a(b: {}", open("{a:")),
        ),
        ("selections", format!("{}a{}", open("{a"), open("}"))),
        (
            "inline fragments",
            format!("{}a{}", open("{...on Query"), open("}")),
        ),
        ("braces", open("{")),
        ("parentheses", format!("{{ a{}", open("("))),
        (
            "types",
            format!("query($a: {}Int{}) {{ a }}", open("["), open("]")),
        ),
        (
            "brackets behind a block string",
            format!("{{ a(b: [\"\"\"x\" {}", open("[")),
        ),
        (
            "brackets behind a string",
            format!("{{ a(b: [\"x\\\" {}", open("[")),
        ),
        (
            "brackets in a string",
            format!("{{ a(b: \"{}\") }}", open("[")),
        ),
        ("quotes", open("\"")),
        ("backslashes", format!("{{ a(b: \"{}", open("\\"))),
        ("comments", format!("{{ __typename }} {}", open("#["))),
        ("commas", format!("{{ __typename {} }}", open(","))),
        ("fields", format!("{{ {} }}", open("__typename "))),
        (
            "equal fields with arguments",
            format!("{{ {} }}", open("user(id: 1) { id } ")),
        ),
        ("aliases", {
            let each: String = (0..size).map(|n| format!("a{n}: me {{ id }} ")).collect();
            format!("{{ {each} }}")
        }),
        (
            "directives",
            format!("{{ __typename {} }}", open("@skip(if: false) ")),
        ),
        (
            "unknown directives",
            format!("{{ __typename {} }}", open("@a ")),
        ),
        ("variables", {
            let each: String = (0..size).map(|n| format!("$v{n}: Int ")).collect();
            format!("query({each}) {{ __typename }}")
        }),
        (
            "operations",
            (0..size)
                .map(|n| format!("query A{n} {{ __typename }} "))
                .collect(),
        ),
        ("a number", format!("{{ a(b: {}) }}", open("9"))),
        ("a name", format!("{{ {} }}", open("a"))),
        ("a fragment bomb", bomb),
        ("a fragment bomb without fields", bomb_without_fields),
        ("a chain of fragments", chain),
        ("a cycle of fragments", cycle),
        (
            "a cycle of two",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".into(),
        ),
        ("deep introspection", {
            let mut text = "{ __schema { types ".to_owned();
            text += &"{ fields { type ".repeat(size);
            text += "{ name }";
            text += &" } }".repeat(size);
            text + " } }"
        }),
        (
            "characters beyond ASCII",
            format!(
                "{{ a(b: \"{}\") \u{feff}{} }}",
                open("\u{1f600}"),
                open("é")
            ),
        ),
        ("control characters", open("\u{0}\u{7}")),
    ]
}

#[tokio::test]
async fn hostile_documents_are_refused_quickly_and_do_not_delay_others() {
    let folder = tempfile::tempdir().unwrap();
    // The limit on bytes is raised, so that the other limits are tested.
    let server = Server::configured(folder.path(), |command| {
        command
            .env("SYMBOLON_BODY_LIMIT", "1000000")
            .env("SYMBOLON_LIMIT_DOCUMENT_BYTES", "1000000");
    });
    let url = format!("{}/graphql", server.base);
    let (others, other) = (reqwest::Client::new(), url.clone());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let others = tokio::spawn(async move {
        let mut answered = 0_u32;
        while stopped.try_recv().is_err() {
            let request = others
                .post(&other)
                .json(&json!({ "query": "{ __typename }" }));
            let answer = Answer::of(request.timeout(Duration::from_secs(10))).await;
            assert_eq!(answer.at("/data/__typename"), "Query");
            answered += 1;
        }
        answered
    });
    let client = reqwest::Client::new();
    let mut slowest = (Duration::ZERO, "", 0);
    for size in [1, 10, 50, 100, 500, 1_000, 2_000, 5_000, 20_000] {
        for (name, document) in attacks(size) {
            let start = Instant::now();
            let request = client.post(&url).json(&json!({ "query": document }));
            let answer = Answer::of(request.timeout(Duration::from_secs(10))).await;
            slowest = slowest.max((start.elapsed(), name, size));
            assert!(answer.status == 200 || answer.status == 400 || answer.status == 413);
            for error in answer.at("/errors").as_array().into_iter().flatten() {
                let message = error["message"].as_str().unwrap();
                assert!(error["extensions"]["code"].is_string(), "{name}: {error}");
                assert!(
                    !message.is_empty() && !message.contains('\n'),
                    "{name}: {error}"
                );
            }
            if size >= 5_000 {
                let harmless = [
                    "comments",
                    "commas",
                    "brackets in a string",
                    "a cycle of two",
                ];
                let refused = answer.at("/errors/0/extensions/code");
                assert!(
                    refused.is_string() || harmless.contains(&name),
                    "{name}: {answer:?}"
                );
            }
        }
    }
    println!("slowest: {slowest:?}");
    stop.send(()).unwrap();
    assert!(others.await.unwrap() > 100);
}

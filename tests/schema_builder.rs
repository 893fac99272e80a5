//! The builder of schemas, compared with the builder of async-graphql.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use async_graphql::{EmptySubscription, Enum, MergedObject, Object};
use serde_json::{Value, json};
use symbolon::Config;
use symbolon::graphql::User;

use crate::embedding_types::panic_message;
use crate::support::TestApp;

#[derive(Clone, Copy)]
struct Types;

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum Colour {
    Red,
    Blue,
}

#[Object]
impl Types {
    async fn zebra(&self) -> Colour {
        Colour::Red
    }

    async fn ant(&self) -> Colour {
        Colour::Blue
    }

    async fn inner(&self) -> Option<Self> {
        Some(*self)
    }
}

#[derive(MergedObject)]
struct Query(symbolon::Query, Types);

type Builder = symbolon::SchemaBuilder<Query, symbolon::Mutation, EmptySubscription>;
type BuilderChange = fn(Builder) -> Builder;
type ConfigChange = fn(&mut Config);

async fn app(configure: impl FnOnce(&mut Config), change: BuilderChange) -> TestApp {
    TestApp::with_routes(configure, |symbolon| {
        let query = Query(symbolon::Query, Types);
        let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
        symbolon.routes(change(schema).finish())
    })
    .await
}

/// Returns the public methods of the `impl` blocks of `SchemaBuilder` in a file.
fn methods(text: &str) -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    let mut is_builder = false;
    for line in text.lines() {
        if line.starts_with("impl<") {
            is_builder = line.contains("> SchemaBuilder<");
        }
        let name = line.strip_prefix("    pub fn ").filter(|_| is_builder);
        methods.extend(name.and_then(|name| Some(name.split(['<', '(']).next()?.to_owned())));
    }
    methods
}

#[test]
fn the_builder_has_the_methods_of_async_graphql() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|it| it["name"] == "async-graphql");
    let manifest = PathBuf::from(package.unwrap()["manifest_path"].as_str().unwrap());
    let library = manifest.with_file_name("src").join("schema.rs");
    let library = methods(&fs::read_to_string(library).unwrap());
    assert!(library.len() > 15, "{library:?}");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src/graphql/schema.rs");
    let own_text = fs::read_to_string(own).unwrap();
    let own = methods(&own_text);
    let missing: Vec<_> = library.difference(&own).map(String::as_str).collect();
    assert_eq!(missing, ["limit_directives", "validation_mode"]);
    for method in missing {
        let explanation = format!("/// - `{method}` is missing, because");
        assert!(own_text.contains(&explanation), "{explanation}");
    }
    assert_eq!(own.difference(&library).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn a_schema_can_lower_the_limits_of_the_configuration_only() {
    let deep = "{ inner { inner { inner { ant } } } }";
    let wide = "{ a: ant b: ant c: ant d: ant }";
    let unlimited = app(|_| {}, |schema| schema).await;
    for document in [deep, wide] {
        let answer = unlimited.graphql(document).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null, "{answer:?}");
    }
    let lowered: [(BuilderChange, _, _); 3] = [
        (|schema| schema.limit_depth(3), deep, "depth"),
        (|schema| schema.limit_recursive_depth(3), deep, "nesting"),
        (|schema| schema.limit_complexity(3), wide, "complexity"),
    ];
    for (change, document, limit) in lowered {
        let app = app(|_| {}, change).await;
        for _ in 0..2 {
            let answer = app.graphql(document).send().await;
            assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{answer:?}");
            assert_eq!(answer.at("/errors/0/extensions/limit"), limit);
        }
        let answer = app.graphql("{ ant }").send().await;
        assert_eq!(answer.at("/data/ant"), "BLUE", "{answer:?}");
    }
    let configured: [(ConfigChange, _); 3] = [
        (|config| config.limits.depth = 3, deep),
        (|config| config.limits.nesting = 3, deep),
        (|config| config.limits.complexity = 3, wide),
    ];
    for (configure, document) in configured {
        let raise: BuilderChange = |schema| {
            let schema = schema.limit_depth(100).limit_recursive_depth(100);
            schema.limit_complexity(100_000)
        };
        let app = app(configure, raise).await;
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{answer:?}");
    }
}

#[tokio::test]
async fn introspection_can_be_disabled_for_a_schema() {
    let change: BuilderChange = |schema| schema.enable_federation().disable_introspection();
    let app = app(|_| {}, change).await;
    for document in [
        "{ __schema { queryType { name } } }",
        "{ __type(name: \"User\") { name } }",
        "{ _service { sdl } }",
        "{ ...F } fragment F on Query { s: _service { sdl } }",
    ] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.error().0, "GRAPHQL_VALIDATION_FAILED", "{answer:?}");
    }
    let answer = app.graphql("{ ant __typename }").send().await;
    assert_eq!(
        answer.at("/data"),
        &json!({ "ant": "BLUE", "__typename": "Query" })
    );
}

#[tokio::test]
async fn a_schema_can_answer_introspection_only() {
    let app = app(|_| {}, Builder::introspection_only).await;
    let answer = app
        .graphql("{ __schema { queryType { name } } }")
        .send()
        .await;
    assert_eq!(answer.at("/data/__schema/queryType/name"), "Query");
    let answer = app.graphql("{ ant }").send().await;
    assert_eq!(answer.at("/data/ant"), &Value::Null, "{answer:?}");
    let answer = app.registration("ada").send().await;
    assert_eq!(answer.at("/data/createUser"), &Value::Null, "{answer:?}");
    assert!(app.operator().users(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_schema_can_be_sorted_and_described() {
    let app = app(
        |_| {},
        |schema| {
            let schema = schema.with_sorted_fields().with_sorted_enums();
            schema.override_output_type_description::<User>("A member.")
        },
    )
    .await;
    let document = r#"{ query: __type(name: "Query") { fields { name } }
        colour: __type(name: "Colour") { enumValues { name } }
        user: __type(name: "User") { description } }"#;
    let answer = app.graphql(document).send().await;
    let names = |pointer: &str| {
        let items = answer.at(pointer).as_array().unwrap().iter();
        let names = items.map(|item| item["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    for pointer in ["/data/query/fields", "/data/colour/enumValues"] {
        let names = names(pointer);
        assert!(names.len() > 1 && names.is_sorted(), "{names:?}");
    }
    assert_eq!(answer.at("/data/user/description"), "A member.");
}

struct Broken;

#[Object]
impl Broken {
    #[graphql(name = "not a name")]
    async fn broken(&self) -> bool {
        true
    }
}

#[derive(MergedObject)]
struct BrokenQuery(symbolon::Query, Broken);

#[tokio::test]
async fn an_invalid_schema_is_an_error_when_it_is_built() {
    let app = TestApp::start().await;
    let symbolon = app.symbolon();
    let message = panic_message(|| {
        let query = BrokenQuery(symbolon::Query, Broken);
        let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
        schema.finish();
    });
    assert!(
        message.starts_with("the GraphQL schema is not valid: "),
        "{message}"
    );
}

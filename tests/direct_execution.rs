//! Direct execution of queries, compared with the execution by async-graphql. The test fails if a new version of
//! async-graphql changes an internal on which direct execution depends.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionFactory, ResolveFut};
use async_graphql::{
    Context, CustomDirective, EmptySubscription, Error, InputObject, MaybeUndefined, MergedObject,
    Object, Result, ServerResult, Value,
};
use serde_json::json;
use symbolon::async_trait;

use crate::embedded_schemas::{Animal, Pet, dog, pets};
use crate::support::TestApp;

#[derive(Clone, Copy)]
struct Types;

#[Object]
impl Types {
    async fn number(&self, ctx: &Context<'_>, #[graphql(default = 3)] plus: i32) -> i32 {
        ctx.append_http_header("x-number", "1");
        plus + ctx.data_opt::<i32>().copied().unwrap_or_default()
    }
    async fn fails(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
    async fn must(&self) -> Result<i32> {
        Err(Error::new("The author's words."))
    }
    async fn inner(&self) -> Option<Self> {
        Some(*self)
    }
    async fn list(&self) -> Option<Vec<Self>> {
        Some(vec![*self, *self])
    }
    async fn animal(&self) -> Animal {
        Animal::Dog(dog())
    }
    async fn pets(&self) -> [Pet; 2] {
        pets()
    }
    /// Returns whether the operation is executed directly: async-graphql knows the selections of the operation.
    async fn is_direct(&self, ctx: &Context<'_>) -> bool {
        let operation = &ctx.query_env.operation.node;
        operation.selection_set.node.items.is_empty()
    }
    async fn input(
        &self,
        #[graphql(default)] input: Input,
        #[graphql(default = 7)] n: Option<i32>,
    ) -> String {
        format!("{input:?} {n:?}")
    }
}

#[derive(Debug, Default, InputObject)]
struct Input {
    a: MaybeUndefined<i32>,
    #[graphql(default = 5)]
    b: Option<i32>,
    list: Option<Vec<Option<i32>>>,
    inner: Option<Box<Input>>,
}

#[derive(MergedObject)]
struct Query(symbolon::Query, Types);

/// Adds 100 to a number.
struct More;

#[async_trait]
impl CustomDirective for More {
    async fn resolve_field(
        &self,
        _: &Context<'_>,
        resolve: ResolveFut<'_>,
    ) -> ServerResult<Option<Value>> {
        Ok(match resolve.await? {
            Some(Value::Number(number)) => number.as_i64().map(|number| Value::from(number + 100)),
            other => other,
        })
    }
}

#[async_graphql::Directive(location = "Field")]
fn more() -> impl CustomDirective {
    More
}

/// An extension that does nothing. With an extension, async-graphql executes all operations.
pub struct Idle;

impl Extension for Idle {}

impl ExtensionFactory for Idle {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

async fn app(is_direct: bool) -> TestApp {
    TestApp::with_routes(
        |_| {},
        |symbolon| {
            let query = Query(symbolon::Query, Types);
            let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
            let schema = schema.directive(more).data(5_i32);
            symbolon.routes(if is_direct {
                schema.finish()
            } else {
                schema.extension(Idle).finish()
            })
        },
    )
    .await
}

#[tokio::test]
async fn responses_equal_those_of_async_graphql() {
    let (direct, library) = (app(true).await, app(false).await);
    for (app, is_direct) in [(&direct, true), (&library, false)] {
        let answer = app.graphql("{ isDirect }").send().await;
        assert_eq!(answer.at("/data/isDirect"), is_direct);
    }
    for (document, field, value) in [
        (
            "{ number a: number(plus: 4) __typename }",
            "/data/a",
            json!(9),
        ),
        (
            "{ number @more inner { fails @more must } }",
            "/data/number",
            json!(108),
        ),
        ("{ must number }", "/data", json!(null)),
        ("{ list { fails number } }", "/data/list/1/number", json!(8)),
        (
            "{ list { must } inner { list { must } } }",
            "/data/inner/list",
            json!(null),
        ),
        // An argument or field of an input object whose variable has no value is omitted.
        (
            "query($a: Int, $b: Int, $c: Int = 1) { input(input: { a: $a, b: $b, list: [$a, $c], inner: { a: $a } }, n: $b) }",
            "/data/input",
            json!(
                "Input { a: Undefined, b: Some(5), list: Some([None, Some(1)]), inner: Some(Input { a: Undefined, b: Some(5), list: None, inner: None }) } Some(7)"
            ),
        ),
        (
            "query($n: Int, $a: Int) { input(input: { a: $n }, n: $a) }",
            "/data/input",
            json!("Input { a: Value(7), b: Some(5), list: None, inner: None } Some(7)"),
        ),
        (
            "{ animal { name n: name @more __typename ... on Dog { barks } } }",
            "/data/animal/n",
            json!("Rex"),
        ),
        (
            "{ pets { __typename ... on Animal { name } ... on Dog { barks } } }",
            "/data/pets/1/name",
            json!("Tom"),
        ),
        (
            "query($n: Int = 2) { number(plus: $n) }",
            "/data/number",
            json!(12),
        ),
        (
            "query($m: Int! = 2) { number(plus: $m) }",
            "/data/number",
            json!(7),
        ),
        (
            "query($y: Boolean!) { number @skip(if: $y) a: number @include(if: $y) }",
            "/data",
            json!({ "a": 8 }),
        ),
        (
            "query($z: Boolean! = false) { ... @include(if: $z) { number } inner { number @skip(if: true) fails } }",
            "/data",
            json!({ "inner": { "fails": null } }),
        ),
        (
            "{ inner { ...F ...F } ... @skip(if: false) { ...F } } fragment F on Query { number inner { number } }",
            "/data/inner/number",
            json!(null),
        ),
        (
            "query($y: Boolean!) { animal { ... on Pet @include(if: $y) { ... on Dog { barks } } } }",
            "/data/animal/barks",
            json!(true),
        ),
    ] {
        for variables in [json!({ "y": true, "n": 7 }), json!({ "y": false })] {
            let expected = library.graphql_with(document, &variables).send().await;
            // The second request uses the cached document.
            for _ in 0..2 {
                let answer = direct.graphql_with(document, &variables).send().await;
                assert_eq!(answer.status, expected.status, "{document}");
                assert_eq!(
                    answer.header("x-number"),
                    expected.header("x-number"),
                    "{document}"
                );
                assert_eq!(answer.body, expected.body, "{document}");
            }
            if variables["y"] == true {
                assert_eq!(expected.at(field), &value, "{document}: {expected:?}");
            }
        }
    }
}

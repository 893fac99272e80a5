//! The validation of documents for the schema of an embedding application that uses most features of
//! async-graphql.

use async_graphql::{
    Context, CustomDirective, Directive, Enum, ID, InputObject, Interface, MergedObject, Object,
    OneofObject, SimpleObject, Subscription, TypeDirective, Union,
};
use futures_util::{Stream, stream};
use serde_json::json;

use crate::graphql_execution::Even;
use crate::support::{Socket, TestApp};

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum Colour {
    Red,
    #[graphql(deprecation = "Use \"RED\".")]
    Crimson,
}

#[derive(OneofObject)]
enum Which {
    Number(Even),
    Name(String),
}

/// A description with `"""` and \ in it.
#[derive(InputObject)]
struct Wish {
    which: Which,
    #[graphql(default = 1.5)]
    factor: f64,
    #[graphql(default_with = "vec![\"a \\\"b\\\"\\n\".to_owned()]")]
    tags: Vec<String>,
    #[graphql(default_with = "Colour::Red", deprecation = "No colours.")]
    colour: Colour,
}

#[derive(SimpleObject)]
#[graphql(directive = note::apply("a \"b\"".to_owned()))]
pub struct Dog {
    id: ID,
    name: String,
    barks: bool,
}

#[derive(SimpleObject)]
pub struct Cat {
    id: ID,
    name: String,
}

#[derive(Interface)]
#[graphql(field(name = "id", ty = "&ID"), field(name = "name", ty = "&String"))]
pub enum Animal {
    Dog(Dog),
    Cat(Cat),
}

#[derive(Union)]
pub enum Pet {
    Dog(Dog),
    Cat(Cat),
}

pub fn dog() -> Dog {
    Dog {
        id: "1".into(),
        name: "Rex".to_owned(),
        barks: true,
    }
}

pub fn pets() -> [Pet; 2] {
    let cat = Cat {
        id: "2".into(),
        name: "Tom".to_owned(),
    };
    [Pet::Dog(dog()), Pet::Cat(cat)]
}

struct Same(#[expect(dead_code)] Option<i32>);

impl CustomDirective for Same {}

#[Directive(location = "Field")]
fn same(level: Option<i32>) -> impl CustomDirective {
    Same(level)
}

#[TypeDirective(location = "Object")]
fn note(text: String) {}

#[derive(Default)]
struct Zoo;

#[Object]
impl Zoo {
    async fn wish(
        &self,
        wish: Wish,
        #[graphql(deprecation = "Ignored.")] old: Option<i32>,
    ) -> String {
        let which = match wish.which {
            Which::Number(Even(number)) => number.to_string(),
            Which::Name(name) => name,
        };
        let colour = if wish.colour == Colour::Red {
            "red"
        } else {
            "crimson"
        };
        format!(
            "{which} {} {} {colour} {old:?}",
            wish.factor,
            wish.tags.join(",")
        )
    }

    async fn animal(&self) -> Animal {
        Animal::Dog(dog())
    }

    async fn pets(&self) -> [Pet; 2] {
        pets()
    }

    #[graphql(entity)]
    async fn find_dog(&self, id: ID) -> Dog {
        Dog { id, ..dog() }
    }
}

#[derive(MergedObject)]
struct Query(symbolon::Query, Zoo);

struct Barks;

#[Subscription]
impl Barks {
    async fn barks(&self, _ctx: &Context<'_>, times: usize) -> impl Stream<Item = Animal> {
        stream::iter((0..times).map(|_| Animal::Dog(dog())))
    }
}

async fn app() -> TestApp {
    TestApp::with_routes(
        |_| {},
        |symbolon| {
            let query = Query(symbolon::Query, Zoo);
            let schema = symbolon.schema(query, symbolon::Mutation, Barks);
            symbolon.routes(schema.directive(same).finish())
        },
    )
    .await
}

#[tokio::test]
async fn documents_are_validated_for_the_schema_of_an_embedder() {
    let app = app().await;
    let wish = |wish: &str| format!("{{ wish(wish: {wish}) }}");
    for (document, data) in [
        (wish("{which: {number: \"4\"}}"), json!({ "wish": "4 1.5 a \"b\"\n red None" })),
        (
            wish("{which: {name: \"x\"}, factor: 2, tags: \"t\", colour: CRIMSON}, old: 1"),
            json!({ "wish": "x 2 t crimson Some(1)" }),
        ),
        (
            "{ animal { name @same(level: 1) ... on Dog { barks } ... on Cat { name } } }".to_owned(),
            json!({ "animal": { "name": "Rex", "barks": true } }),
        ),
        (
            "{ pets { __typename ... on Animal { name } } }".to_owned(),
            json!({ "pets": [
                { "__typename": "Dog", "name": "Rex" },
                { "__typename": "Cat", "name": "Tom" },
            ] }),
        ),
        (
            "{ _entities(representations: [{__typename: \"Dog\", id: \"7\"}]) { ... on Dog { id } } }"
                .to_owned(),
            json!({ "_entities": [{ "id": "7" }] }),
        ),
        (
            "{ _service { __typename } }".to_owned(),
            json!({ "_service": { "__typename": "_Service" } }),
        ),
        (
            "{ __type(name: \"Which\") { isOneOf } }".to_owned(),
            json!({ "__type": { "isOneOf": true } }),
        ),
    ] {
        let answer = app.graphql(&document).send().await;
        assert_eq!(answer.body, json!({ "data": data }), "{document}");
    }
    let variables = json!({ "n": "4", "w": { "number": "4" } });
    for (document, is_valid) in [
        (
            "query($n: Even!) { wish(wish: {which: {number: $n}}) }",
            true,
        ),
        (
            "query($n: Even) { wish(wish: {which: {number: $n}}) }",
            false,
        ),
        (
            "query($n: String!) { wish(wish: {which: {number: $n}}) }",
            false,
        ),
        ("query($w: Which!) { wish(wish: {which: $w}) }", true),
        ("query($w: Which) { wish(wish: {which: $w}) }", false),
        (
            "query($w: Which = {number: \"4\"}) { wish(wish: {which: $w}) }",
            true,
        ),
        ("query($w: Which = {}) { wish(wish: {which: $w}) }", false),
        ("{ wish(wish: {which: {number: \"3\"}}) }", false),
        ("{ wish(wish: {which: {number: 4}}) }", false),
        (
            "{ wish(wish: {which: {number: \"4\", name: \"x\"}}) }",
            false,
        ),
        ("{ wish(wish: {which: {name: null}}) }", false),
        ("{ wish(wish: {which: {}}) }", false),
        (
            "{ wish(wish: {which: {name: \"x\"}, colour: \"RED\"}) }",
            false,
        ),
        (
            "{ wish(wish: {which: {name: \"x\"}, factor: 1e999}) }",
            false,
        ),
        ("{ animal { barks } }", false),
        ("{ pets { name } }", false),
        ("{ pets { ... on Query { __typename } } }", false),
        ("{ animal @same(level: \"x\") { name } }", false),
        ("{ animal @note(text: \"x\") { name } }", false),
        ("{ animal { name @shout } }", false),
    ] {
        let answer = app.graphql_with(document, &variables).send().await;
        if is_valid {
            assert!(
                answer.at("/data/wish").is_string(),
                "{document}: {answer:?}"
            );
        } else {
            assert_eq!(
                answer.error().0,
                "GRAPHQL_VALIDATION_FAILED",
                "{document}: {answer:?}"
            );
        }
    }
    let mut socket = Socket::connect(&app.base, None).await;
    socket
        .subscribe("1", "subscription { barks(times: 1) { name } }")
        .await;
    assert_eq!(
        socket.event("1").await,
        json!({ "data": { "barks": { "name": "Rex" } } })
    );
}

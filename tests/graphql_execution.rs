//! The execution of GraphQL operations: values of variables, the choice of the operation, the order of fields.

use std::sync::atomic::{AtomicU32, Ordering};

use async_graphql::{
    EmptySubscription, Enum, InputObject, InputValueError, InputValueResult, Interface,
    MergedObject, Object, OneofObject, Scalar, ScalarType, SimpleObject, Union,
    Value as GraphqlValue,
};
use proptest::prelude::{Strategy, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use symbolon::{Authenticated, RequireScope};

use crate::document_and_identity_caches::query;
use crate::graphql_resolver_errors::trouble;
use crate::support::{Answer, PASSWORD, TestApp};

#[tokio::test]
async fn values_of_variables_are_checked_before_anything_is_executed() {
    let app = TestApp::start().await;
    let user = "mutation($i: CreateUserInput!) { createUser(input: $i) { user { id } } }";
    let int = "query($n: Int) { users(first: $n) { totalCount } }";
    let required = "query($n: Int!) { users(first: $n) { totalCount } }";
    let id = "query($n: ID) { user(id: $n) { id } }";
    let name = "query($n: String) { user(username: $n) { id } }";
    let flag = "query($n: Boolean!) { __typename @skip(if: $n) }";
    let kind = "query($n: AuditEventKind) { auditEvents(kind: $n) { nodes { id } } }";
    let scopes = "mutation($n: [String!]!) {
        createAccessToken(input: {name: \"x\", scopes: $n}) { token } }";
    for (document, variables) in [
        (required, json!({})),
        (required, json!({ "n": null })),
        (int, json!({ "n": "1" })),
        (int, json!({ "n": 1.5 })),
        (int, json!({ "n": 3_000_000_000_u32 })),
        (scopes, json!({ "n": ["x", null] })),
        (id, json!({ "n": 1.5 })),
        (flag, json!({ "n": "true" })),
        (name, json!({ "n": 1 })),
        (kind, json!({ "n": "EMPEROR" })),
        (user, json!({ "i": "ada" })),
        (user, json!({ "i": { "username": "ada" } })),
        (user, json!({ "i": { "username": "ada", "password": "correct horse", "wings": 2 } })),
        (user, json!({ "i": { "username": 1, "password": "correct horse" } })),
        // The value of the second field is invalid, so the first field must not be executed.
        (
            "mutation($e: Int) { createUser(input: {username: \"ada\", password: \"correct horse\"}) { user { id } }
                createToken(expiresIn: $e) { token } }",
            json!({ "e": "soon" }),
        ),
    ] {
        let answer = app.graphql_with(document, &variables).send().await;
        assert_eq!(answer.error().0, "BAD_USER_INPUT", "{document} {variables}: {answer:?}");
        assert!(!answer.body.as_object().unwrap().contains_key("data"), "{document}");
        let message = answer.at("/errors/0/message").as_str().unwrap();
        assert!(message.contains("The variable $"), "{message}");
    }
    for (document, variables) in [
        (
            "query($n: Int = 1) { users(first: $n) { totalCount } }",
            json!({}),
        ),
        (int, json!({ "n": null, "unknown": { "a": [1] } })),
        (id, json!({ "n": 1 })),
        (scopes, json!({ "n": "account:read" })),
        (kind, json!({ "n": "REGISTERED" })),
        (
            user,
            json!({ "i": { "username": "bob", "password": "correct horse", "email": null } }),
        ),
    ] {
        let answer = app.graphql_with(document, &variables).send().await;
        // The fields require credentials.
        let code = answer.at("/errors/0/extensions/code");
        assert!(code.is_null() || code == "UNAUTHENTICATED", "{answer:?}");
    }
    assert_eq!(app.register("ada").await, 2);
}

#[tokio::test]
async fn the_named_operation_of_a_document_is_executed() {
    let app = TestApp::start().await;
    let document = "query A($v: String!) { a: __type(name: $v) { ...F } }
        query B($v: Boolean!) { b: __type(name: \"Token\") @include(if: $v) { name } }
        fragment F on __Type { name }";
    let send = async |name: Value, variables: Value| {
        let body = json!({ "query": document, "operationName": name, "variables": variables });
        Answer::of(app.request(reqwest::Method::POST, "/graphql").json(&body)).await
    };
    let a = send(json!("A"), json!({ "v": "User" })).await;
    assert_eq!(a.body, json!({ "data": { "a": { "name": "User" } } }));
    let b = send(json!("B"), json!({ "v": true })).await;
    assert_eq!(b.body, json!({ "data": { "b": { "name": "Token" } } }));
    for name in [json!(null), json!("C"), json!("")] {
        let answer = send(name, json!({})).await;
        assert_eq!(
            answer.at("/errors/0/extensions/code"),
            "GRAPHQL_VALIDATION_FAILED"
        );
    }
}

#[tokio::test]
async fn fields_are_returned_in_document_order() {
    let app = trouble().await;
    let document = "{ slow z: fine ...More a: fine } fragment More on Query { m: fine slow }";
    // serde_json sorts keys, so the test compares the text.
    let text = app
        .request(reqwest::Method::POST, "/graphql")
        .json(&json!({ "query": document }))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(text, r#"{"data":{"slow":4,"z":1,"m":1,"a":1}}"#);
}

/// A custom scalar: an even number, written as a string.
#[derive(Clone)]
pub struct Even(pub i64);

#[Scalar(specified_by_url = "https://example.com/even")]
impl ScalarType for Even {
    fn parse(value: GraphqlValue) -> InputValueResult<Self> {
        let GraphqlValue::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        Ok(Self(text.parse()?))
    }

    fn is_valid(value: &GraphqlValue) -> bool {
        matches!(value, GraphqlValue::String(text) if text.parse::<i64>().is_ok_and(|n| n % 2 == 0))
    }

    fn to_value(&self) -> GraphqlValue {
        GraphqlValue::String(self.0.to_string())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum Colour {
    Red,
    Blue,
}

#[derive(OneofObject)]
enum Which {
    Number(Even),
    Colour(Colour),
}

#[derive(InputObject)]
struct Wish {
    which: Which,
    #[graphql(default = 1)]
    times: i32,
}

/// Counts its executions.
#[derive(Default)]
struct Wishes(AtomicU32);

#[Object]
impl Wishes {
    #[graphql(guard = "RequireScope(\"wishes\")")]
    async fn wish(&self, wish: Wish) -> String {
        self.0.fetch_add(1, Ordering::SeqCst);
        let which = match wish.which {
            Which::Number(Even(number)) => number.to_string(),
            Which::Colour(Colour::Red) => "red".to_owned(),
            Which::Colour(Colour::Blue) => "blue".to_owned(),
        };
        which.repeat(usize::try_from(wish.times).unwrap_or(0))
    }

    #[graphql(guard = "Authenticated")]
    async fn wishes(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(MergedObject)]
struct Query(symbolon::Query, Wishes);

#[tokio::test]
async fn values_of_custom_scalars_are_validated_in_each_request() {
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| {
            let query = Query(symbolon::Query, Wishes::default());
            let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
            symbolon.routes(schema.finish())
        },
    )
    .await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let input = json!({ "name": "x", "scopes": ["other"] });
    let narrow = app.access_token("ada", input).await;
    let document = "query($w: Wish!) { wish(wish: $w) }";
    for round in 1..=3 {
        let right = json!({ "w": { "which": { "number": "4" }, "times": 2 } });
        let answer = query(&app, &token, document, right.clone()).await;
        assert_eq!(answer.at("/data/wish"), "44", "{answer:?}");
        let colour = json!({ "w": { "which": { "colour": "BLUE" } } });
        let answer = query(&app, &token, document, colour).await;
        assert_eq!(answer.at("/data/wish"), "blue", "{answer:?}");
        let answer = query(&app, &narrow, document, right).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "SCOPE_REQUIRED"));
        for wrong in [
            json!({ "which": { "number": "3" } }),
            json!({ "which": { "number": 4 } }),
            json!({ "which": { "colour": "GREEN" } }),
            json!({ "which": { "colour": "RED", "number": "4" } }),
            json!({ "which": { "colour": null } }),
            json!({ "which": {} }),
            json!({ "which": { "colour": "RED" }, "times": null }),
            json!({ "times": 1 }),
            json!(null),
        ] {
            let answer = query(&app, &token, document, json!({ "w": wrong })).await;
            assert_eq!(answer.error().0, "BAD_USER_INPUT", "{wrong}: {answer:?}");
        }
        let count = query(&app, &token, "{ wishes }", json!({})).await;
        assert_eq!(count.at("/data/wishes"), 2 * round);
    }
}

#[tokio::test]
async fn an_error_has_the_position_of_its_cause() {
    let app = TestApp::start().await;
    for (document, variables, positions) in [
        ("{\n  me { id", json!({}), json!([[[2, 10]]])),
        (
            "{ user(id: \"\\u{1F600}\") { nope } }",
            json!({}),
            json!([[[1, 27]]]),
        ),
        (
            "{ user(id: \"😀\") { nope } }",
            json!({}),
            json!([[[1, 20]]]),
        ),
        (
            "{ nope\r  me { nope } }",
            json!({}),
            json!([[[1, 3]], [[2, 8]]]),
        ),
        (
            "query($a: Int!\n$b: Int!) { users(first: $a, last: $b) { totalCount } }",
            json!({ "b": "x" }),
            json!([[[1, 7]], [[2, 1]]]),
        ),
        (
            "mutation { createUser(input: {username: \"a\", username: \"b\", password: \"c\"}) { user { id } } }",
            json!({}),
            json!([[[1, 31], [1, 46]]]),
        ),
        (
            "{ __typename @nope @skip }",
            json!({}),
            json!([[[1, 14]], [[1, 20]]]),
        ),
        (
            "query($a: Boolean = null) { __typename @skip(if: $a) }",
            json!({}),
            json!([[[1, 7], [1, 50]]]),
        ),
    ] {
        let answer = app.graphql_with(document, &variables).send().await;
        let errors = answer.at("/errors").as_array().unwrap().iter();
        let found: Vec<_> = errors
            .map(|error| {
                let locations = error["locations"].as_array().unwrap().iter();
                json!(
                    locations
                        .map(|at| json!([at["line"], at["column"]]))
                        .collect::<Vec<_>>()
                )
            })
            .collect();
        assert_eq!(json!(found), positions, "{document}: {answer:?}");
    }
}

#[tokio::test]
async fn escapes_and_directives_on_typename_are_executed() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for name in ["\"\\u0061d\\u{61}\"", "\"\"\"\n    ada\n  \"\"\""] {
        let document = format!("{{ user(username: {name}) {{ username }} }}");
        let answer = app.graphql(&document).bearer(&token).send().await;
        assert_eq!(answer.at("/data/user/username"), "ada", "{answer:?}");
    }
    for pair in ["\\uD83D\\uDE00", "\\u{1F600}"] {
        let document = format!(
            "mutation {{ createToken(device: \"{pair}\") {{ user {{ sessions {{ nodes {{ device }} }} }} }} }}"
        );
        let request = app
            .graphql(&document)
            .basic("ada", crate::support::PASSWORD);
        let answer = request.send().await;
        let sessions = answer
            .at("/data/createToken/user/sessions/nodes")
            .to_string();
        assert!(sessions.contains('😀'), "{answer:?}");
    }
    // The default value counts if the variable is not given.
    let document = "query($a: Boolean = true, $b: Boolean!) {
        a: __typename @skip(if: $a) b: __typename @include(if: $b) c: __typename @include(if: $a) }";
    let answer = app
        .graphql_with(document, &json!({ "b": false }))
        .send()
        .await;
    assert_eq!(answer.body, json!({ "data": { "c": "Query" } }));
}

#[tokio::test]
async fn a_hash_without_a_document_is_answered_so_that_clients_send_the_document() {
    let app = TestApp::start().await;
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "0".repeat(64) } });
    for accept in ["application/json", "application/graphql-response+json"] {
        let post = app
            .request(reqwest::Method::POST, "/graphql")
            .json(&json!({ "extensions": extensions }));
        // The encoded form of {"persistedQuery":{}}.
        let path = "/graphql?extensions=%7B%22persistedQuery%22%3A%7B%7D%7D";
        let get = app.request(reqwest::Method::GET, path);
        for request in [post, get] {
            let answer = Answer::of(request.header("accept", accept)).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.error().0, "PERSISTED_QUERY_NOT_SUPPORTED");
            assert_eq!(answer.at("/errors/0/message"), "PersistedQueryNotSupported");
        }
    }
    let body = json!({ "query": "{ __typename }", "extensions": extensions });
    let answer = app.graphql_body(&body).send().await;
    assert_eq!(answer.body, json!({ "data": { "__typename": "Query" } }));
}

#[derive(SimpleObject)]
struct Cat {
    name: String,
    meow: String,
}

#[derive(SimpleObject)]
struct Dog {
    name: String,
    bark: i32,
    growl: String,
}

#[derive(Interface)]
#[graphql(field(name = "name", ty = "&String"))]
enum Named {
    Cat(Cat),
    Dog(Dog),
}

#[derive(Union)]
enum Pet {
    Cat(Cat),
    Dog(Dog),
}

#[derive(Default)]
struct Pets;

#[Object]
impl Pets {
    async fn pet(&self) -> Pet {
        Pet::Cat(Cat {
            name: "Tom".to_owned(),
            meow: "miaow".to_owned(),
        })
    }

    async fn named(&self) -> Named {
        Named::Dog(Dog {
            name: "Rex".to_owned(),
            bark: 3,
            growl: "grr".to_owned(),
        })
    }
}

#[derive(MergedObject)]
struct PetQuery(symbolon::Query, Pets);

#[tokio::test]
async fn fields_of_interfaces_and_unions_are_validated() {
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| {
            let query = PetQuery(symbolon::Query, Pets);
            let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
            symbolon.routes(schema.finish())
        },
    )
    .await;
    for (document, positions) in [
        // A pet is of one type only, so the fields can differ, but not in their forms.
        (
            "{ pet { ... on Cat { x: meow } ... on Dog { x: growl } } }",
            json!([]),
        ),
        (
            "{ pet { ... on Cat { x: meow } ... on Dog { x: bark } } }",
            json!([[45]]),
        ),
        (
            "{ named { x: name ... on Dog { x: growl } } }",
            json!([[11]]),
        ),
        ("{ pet { __typename ... on Named { name } } }", json!([])),
        ("{ pet { name } }", json!([[9]])),
        ("{ named { name meow } }", json!([[16]])),
        ("{ named { ... on User { id } } }", json!([[11]])),
        (
            "{ pet { ...F } } fragment F on Token { token }",
            json!([[9]]),
        ),
        (
            "{ pet { ... on Cat { ... on Dog { bark } } } }",
            json!([[22]]),
        ),
    ] {
        let answer = app.graphql(document).send().await;
        let errors = answer.body["errors"].as_array().into_iter().flatten();
        let columns = errors.map(|error| {
            let locations = error["locations"].as_array().unwrap().iter();
            json!(locations.map(|at| at["column"].clone()).collect::<Vec<_>>())
        });
        assert_eq!(
            json!(columns.collect::<Vec<_>>()),
            positions,
            "{document}: {answer:?}"
        );
    }
}

/// Otherwise, a mutation would be executed several times.
#[tokio::test]
async fn root_fields_with_one_response_key_are_executed_once() {
    let app = TestApp::start().await;
    let create = |name: &str, selection: &str| {
        format!(
            r#"createUser(input: {{ username: "{name}", password: "correct horse" }}) {{ {selection} }}"#
        )
    };
    let (user, errors) = ("user { username }", "userErrors { code }");
    let fragment = |name: &str, field: String| format!("fragment {name} on Mutation {{ {field} }}");
    for (name, document) in [
        (
            "ada",
            format!(
                "mutation {{ {} {} }}",
                create("ada", user),
                create("ada", errors)
            ),
        ),
        (
            "bob",
            format!(
                "mutation {{ ...A ...B ...A ... on Mutation {{ ...B {} }} }} {} {}",
                create("bob", "user { id }"),
                fragment("A", create("bob", user)),
                fragment("B", create("bob", errors)),
            ),
        ),
        (
            "eve",
            format!(
                "mutation($v: Boolean = true) {{ {} {} }}",
                create("eve", user).replace(") {", ") @include(if: $v) {"),
                create("eve", errors).replace(") {", ") @include(if: $v) {"),
            ),
        ),
    ] {
        let answer = app.graphql(&document).send().await;
        assert_eq!(
            answer.at("/data/createUser/user/username"),
            name,
            "{answer:?}"
        );
        assert_eq!(answer.at("/data/createUser/userErrors"), &json!([]));
    }
    let document = format!(
        "mutation {{ {} {} }}",
        create("zoe", user),
        create("zoe", errors).replace(") {", ") @include(if: true) {")
    );
    let answer = app.graphql(&document).send().await;
    assert_eq!(answer.error(), ("GRAPHQL_VALIDATION_FAILED", ""));
    let answer = app
        .graphql(&format!("mutation {{ {} }}", create("zoe", user)))
        .send()
        .await;
    assert_eq!(answer.at("/data/createUser/user/username"), "zoe");
}

/// Generates texts that are similar to documents.
fn document_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[{}\\[\\]()\"\\\\#\n\r ,:$@a!=|&1é😀\u{feff}\u{0}]",
        "\"\"\"|\\\\\"\"\"|\\.\\.\\. |\\.\\.\\.on User|\\.\\.\\.F |query\\(|fragment F on User|mutation |-1\\.5e3",
        "\\{ |\\} |me \\{|user\\(id: |id |x: |users\\(first: |createUser\\(input: \\{|username: |__typename |__type ",
        "\\$v: Int! = |\\$v: \\[ID\\]|\\$v |@skip\\(if: |@nope |\"\\\\uD83D\\\\u[A-F0-9]{4}\" |\"x\" |null |true |99999999999 ",
        "[ -~]{0,4}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

#[tokio::test]
async fn no_text_of_a_document_causes_an_internal_error() {
    let app = TestApp::start().await;
    let mut runner = TestRunner::default();
    for _ in 0..300 {
        let text = document_text().new_tree(&mut runner).unwrap().current();
        let answer = app.graphql(&text).send().await;
        assert!(!answer.status.is_server_error(), "{text:?}: {answer:?}");
        let codes = answer.at("/errors").as_array().into_iter().flatten();
        let mut codes = codes.map(|error| &error["extensions"]["code"]);
        assert!(
            codes.all(|code| code != "INTERNAL_SERVER_ERROR"),
            "{text:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn an_input_field_whose_variable_has_no_value_is_omitted() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let update = "mutation($e: String, $u: String) {
        updateUser(input: { email: $e, username: $u }) { user { username email } } }";
    for (variables, email) in [
        (json!({ "e": "ada@example.org" }), json!("ada@example.org")),
        (json!({ "u": "ada" }), json!("ada@example.org")),
        (json!({}), json!("ada@example.org")),
        (json!({ "e": null }), json!(null)),
    ] {
        let answer = app.graphql_with(update, &variables);
        let answer = answer.basic("ada", PASSWORD).send().await;
        let user = json!({ "username": "ada", "email": email });
        assert_eq!(answer.at("/data/updateUser/user"), &user, "{variables}");
    }
    // The default value of an argument applies.
    let roles = "query($d: Boolean) { __type(name: \"Role\") { enumValues(includeDeprecated: $d) { name } } }";
    let answer = app.graphql_with(roles, &json!({})).send().await;
    let roles = json!([{ "name": "USER" }, { "name": "ADMIN" }]);
    assert_eq!(answer.at("/data/__type/enumValues"), &roles);
}

//! Users as entities of Apollo Federation.

use async_graphql::{EmptySubscription, MergedObject};
use chrono::TimeDelta;
use serde_json::{Value, json};
use symbolon::graphql::UserEntities;
use symbolon::{Config, UserList};

use crate::direct_execution::Idle;
use crate::embedding_types::with_one_read;
use crate::support::{Answer, TestApp};

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, UserEntities);

/// Starts an app with entities, whose users 1 and 2 are `ada` and `bob`, and whose user 3, `eve`, is an admin.
async fn start(configure: impl FnOnce(&mut Config), is_extended: bool) -> TestApp {
    let app = TestApp::with_routes(configure, |symbolon| {
        let query = Query::default();
        let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
        let schema = if is_extended {
            schema.extension(Idle)
        } else {
            schema
        };
        let metrics = symbolon.metrics();
        symbolon.routes(schema.finish()).at("/metrics", metrics)
    })
    .await;
    for name in ["ada", "bob", "eve"] {
        app.register(name).await;
    }
    app.make_admin(3).await;
    app
}

const ENTITIES: &str = "query($r: [_Any!]!) {
    _entities(representations: $r) { __typename ... on User { id username role } } }";

fn representations(ids: impl IntoIterator<Item = i64>) -> Value {
    let representation = |id: i64| json!({ "__typename": "User", "id": id.to_string() });
    ids.into_iter().map(representation).collect()
}

async fn entities(app: &TestApp, token: Option<&str>, representations: Value) -> Answer {
    let request = app.graphql_with(ENTITIES, &json!({ "r": representations }));
    match token {
        Some(token) => request.bearer(token).send().await,
        None => request.send().await,
    }
}

#[tokio::test]
async fn one_query_reads_100_users() {
    for is_extended in [false, true] {
        let app = start(|_| {}, is_extended).await;
        let token = app.sign_in("eve").await;
        let send = || entities(&app, Some(&token), representations(1..=100));
        send().await;
        let answer = with_one_read(&app, send).await;
        let users = answer.at("/data/_entities").as_array().unwrap();
        assert_eq!(users.len(), 100);
        let bob = json!({ "__typename": "User", "id": "2", "username": "bob", "role": "USER" });
        assert_eq!(users[1], bob);
        // No user has these ids.
        assert!(users[3..].iter().all(Value::is_null), "{answer:?}");
    }
}

#[tokio::test]
async fn entities_are_guarded_like_the_query_of_a_user() {
    let app = start(|_| {}, false).await;
    let expired = app.sign_in("bob").await;
    app.advance(TimeDelta::hours(2));
    let (ada, eve) = (app.sign_in("ada").await, app.sign_in("eve").await);
    let input = json!({ "name": "notes", "scopes": ["notes:read"] });
    let without = app.access_token("ada", input).await;
    let input = json!({ "name": "account", "scopes": ["account:read"] });
    let with = app.access_token("ada", input).await;
    let cases = [
        (None, 1, "MISSING"),
        (Some("x"), 1, "TOKEN_INVALID"),
        (Some(&*expired), 1, "TOKEN_EXPIRED"),
        (Some(&*ada), 1, ""),
        (Some(&*ada), 2, "ROLE_REQUIRED"),
        (Some(&*ada), 9, "ROLE_REQUIRED"),
        (Some(&*without), 1, "SCOPE_REQUIRED"),
        (Some(&*with), 1, ""),
        (Some(&*with), 2, "ROLE_REQUIRED"),
        (Some(&*eve), 1, ""),
        (Some(&*eve), 2, ""),
    ];
    for (token, id, reason) in cases {
        let answer = entities(&app, token, representations([id])).await;
        let by_query = app.graphql(&format!("{{ user(id: {id}) {{ id username role }} }}"));
        let by_query = match token {
            Some(token) => by_query.bearer(token).send().await,
            None => by_query.send().await,
        };
        if reason.is_empty() {
            let user = answer.at("/data/_entities/0");
            assert_eq!(user["username"], by_query.at("/data/user/username").clone());
            assert_eq!(user["role"], by_query.at("/data/user/role").clone());
            assert_eq!(answer.at("/errors"), &Value::Null);
        } else {
            assert_eq!(answer.error().1, reason, "{token:?} {id}: {answer:?}");
            assert_eq!(answer.error(), by_query.error());
            assert_eq!(answer.at("/errors/0/path"), &json!(["_entities"]));
            assert_eq!(answer.at("/data"), &Value::Null);
        }
    }
    let mixed = entities(&app, Some(&ada), representations([1, 2])).await;
    assert_eq!(mixed.error(), ("FORBIDDEN", "ROLE_REQUIRED"));

    let members = start(|config| config.user_list = UserList::Members, false).await;
    let ada = members.sign_in("ada").await;
    let answer = entities(&members, Some(&ada), representations([1, 2])).await;
    let expected = json!([
        { "__typename": "User", "id": "1", "username": "ada", "role": "USER" },
        { "__typename": "User", "id": "2", "username": "bob", "role": null },
    ]);
    assert_eq!(answer.at("/data/_entities"), &expected, "{answer:?}");
}

#[tokio::test]
async fn invalid_representations_are_errors_in_the_input() {
    for is_extended in [false, true] {
        let app = start(|_| {}, is_extended).await;
        let token = app.sign_in("eve").await;
        for representation in [
            json!({ "__typename": "Dog", "id": "1" }),
            json!({ "__typename": "User" }),
            json!({ "__typename": "User", "id": ["1"] }),
            json!({ "__typename": 1, "id": "1" }),
            json!({ "id": "1" }),
            json!("User"),
        ] {
            let answer = entities(&app, Some(&token), json!([representation])).await;
            assert_eq!(answer.status, 200);
            let error = answer.error();
            assert_eq!(
                error,
                ("BAD_USER_INPUT", ""),
                "{representation}: {answer:?}"
            );
            assert_eq!(answer.at("/errors/0/path"), &json!(["_entities"]));
        }
        for representations in [json!([null]), json!(null), json!({ "a": [null] })] {
            let answer = entities(&app, Some(&token), representations.clone()).await;
            if representations.is_object() {
                // A single value is coerced to a list.
                assert_eq!(answer.at("/errors/0/path"), &json!(["_entities"]));
            } else {
                assert_eq!(answer.at("/data"), &Value::Null, "{answer:?}");
            }
            assert_eq!(answer.error().0, "BAD_USER_INPUT", "{answer:?}");
        }
        // No user has such an id.
        let other = json!([{ "__typename": "User", "id": "x" }]);
        let answer = entities(&app, Some(&token), other).await;
        assert_eq!(answer.at("/data/_entities"), &json!([null]), "{answer:?}");
    }
}

#[tokio::test]
async fn the_complexity_includes_the_number_of_representations() {
    for is_extended in [false, true] {
        let app = start(|config| config.limits.complexity = 100, is_extended).await;
        let token = app.sign_in("eve").await;
        let send = async |document: &str, count: i64| {
            let variables = json!({ "r": representations((0..count).map(|_| 1)) });
            let request = app.graphql_with(document, &variables);
            request.bearer(&token).send().await
        };
        let literal = |count: usize| {
            let items = r#"{ __typename: "User", id: 1 } "#.repeat(count);
            format!("{{ _entities(representations: [{items}]) {{ ... on User {{ id }} }} }}")
        };
        let fields = "{ ... on User { id } }";
        let variable = format!("query($r: [_Any!]!) {{ _entities(representations: $r) {fields} }}");
        let fragment = format!(
            "query($r: [_Any!]!) {{ ...E }}
            fragment E on Query {{ ... {{ _entities(representations: $r) {fields} }} }}"
        );
        let default = format!(
            "query($r: [_Any!]! = [{}]) {{ _entities(representations: $r) {fields} }}",
            r#"{ __typename: "User", id: 1 } "#.repeat(51)
        );
        let twice = format!(
            "query($r: [_Any!]!) {{ a: _entities(representations: $r) {fields}
                b: _entities(representations: $r) {fields} }}"
        );
        // Each representation costs 2. Later requests use the cached document.
        let mut cases = vec![
            (literal(50), 0, true),
            (literal(51), 0, false),
            (twice.clone(), 5, true),
            (twice.clone(), 6, true),
            (twice, 13, false),
        ];
        for document in [variable, fragment] {
            for (count, is_within) in [(50, true), (51, false), (1, true), (51, false), (0, true)] {
                cases.push((document.clone(), count, is_within));
            }
        }
        for (document, count, is_within) in cases {
            let answer = send(&document, count).await;
            if is_within {
                assert_eq!(
                    answer.at("/errors"),
                    &Value::Null,
                    "{count} {document}: {answer:?}"
                );
            } else {
                assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{count} {document}");
                assert_eq!(answer.at("/errors/0/extensions/limit"), "complexity");
                assert_eq!(answer.at("/data"), &Value::Null);
            }
        }
        let answer = app.graphql(&default).bearer(&token).send().await;
        assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{answer:?}");
        // The number of values in variables is limited as well.
        let many = send(ENTITIES, 1400).await;
        assert_eq!(many.error().0, "LIMIT_EXCEEDED");
        assert_eq!(many.at("/errors/0/extensions/limit"), "tokens");
    }
}

#[tokio::test]
async fn the_schema_describes_the_entity() {
    let app = start(|_| {}, false).await;
    let answer = app.graphql("{ _service { sdl } }").send().await;
    let sdl = answer.string("/data/_service/sdl");
    assert!(sdl.contains(r#"type User @key(fields: "id")"#), "{sdl}");
    assert!(!sdl.contains("SymbolonUserEntities") && !sdl.contains("_Entity"));
    let document = r#"{ __type(name: "_Entity") { possibleTypes { name } } }"#;
    let answer = app.graphql(document).send().await;
    let types = answer.at("/data/__type/possibleTypes");
    assert_eq!(types, &json!([{ "name": "User" }]));

    // An alias can repeat the SDL.
    let aliases = |count: usize| {
        let aliases = (0..count).map(|index| format!("a{index}: sdl"));
        format!(
            "{{ _service {{ {} }} }}",
            aliases.collect::<Vec<_>>().join(" ")
        )
    };
    let answer = app.graphql(&aliases(20)).send().await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    let answer = app.graphql(&aliases(200)).send().await;
    assert_eq!(answer.error().0, "LIMIT_EXCEEDED", "{}", answer.status);

    let closed = start(|config| config.limits.introspection = false, false).await;
    let answer = closed.graphql("{ _service { sdl } }").send().await;
    assert_eq!(answer.error().0, "GRAPHQL_VALIDATION_FAILED");
    let token = closed.sign_in("ada").await;
    let answer = entities(&closed, Some(&token), representations([1])).await;
    assert_eq!(answer.at("/data/_entities/0/username"), "ada");
}

#[derive(MergedObject, Default)]
struct Plain(symbolon::Query);

#[tokio::test]
async fn a_schema_without_entities_has_no_fields_of_federation() {
    for is_federated in [false, true] {
        let app = TestApp::with_routes(
            |_| {},
            |symbolon| {
                let query = Plain::default();
                let schema = symbolon.schema(query, symbolon::Mutation, EmptySubscription);
                let schema = if is_federated {
                    schema.enable_federation()
                } else {
                    schema
                };
                symbolon.routes(schema.finish())
            },
        )
        .await;
        let answer = entities(&app, None, representations([1])).await;
        let errors = answer.at("/errors").as_array().unwrap();
        let is_refused = |error: &Value| error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED";
        assert!(errors.iter().all(is_refused), "{answer:?}");
        let answer = app.graphql("{ _service { sdl } }").send().await;
        if is_federated {
            assert!(answer.string("/data/_service/sdl").contains("type User {"));
        } else {
            assert_eq!(answer.error().0, "GRAPHQL_VALIDATION_FAILED");
        }
    }
}

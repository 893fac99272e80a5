//! Operations in which some fields fail, in an app with its own types.

use async_graphql::{Context, EmptySubscription, Error, MergedObject, Object, Result};
use serde_json::{Value, json};
use symbolon::{Authenticated, ContextExt};

use crate::support::{Answer, TestApp};

#[derive(Default)]
struct Trouble;

/// Fails with an internal message.
fn leak() -> std::io::Error {
    std::io::Error::other("SELECT secret FROM vault")
}

fn vault() -> Option<i32> {
    panic!("SELECT secret FROM vault")
}

#[Object]
impl Trouble {
    async fn fine(&self) -> i32 {
        1
    }
    async fn must(&self) -> Result<i32> {
        Err(Error::new("The author's words."))
    }
    async fn may(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
    async fn leaks(&self) -> Result<Option<i32>> {
        Err(leak().into())
    }
    async fn panics(&self) -> Option<i32> {
        vault()
    }
    #[graphql(guard = "Authenticated")]
    async fn guarded(&self) -> Option<i32> {
        Some(2)
    }
    #[graphql(guard = "Authenticated")]
    async fn guarded_must(&self) -> i32 {
        3
    }
    async fn inner(&self) -> Option<Trouble> {
        Some(Trouble)
    }
    async fn inner_must(&self) -> Trouble {
        Trouble
    }
    async fn list(&self) -> Vec<Option<Trouble>> {
        vec![Some(Trouble), None, Some(Trouble)]
    }
    async fn list_must(&self) -> Option<Vec<Trouble>> {
        Some(vec![Trouble, Trouble])
    }
    async fn at(&self, #[graphql(validator(maximum = 3))] place: i32) -> Option<i32> {
        Some(place)
    }
    async fn name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(ctx
            .identity()
            .await
            .ok()
            .map(|identity| identity.user().username.clone()))
    }
    /// Completes after the fields that follow it.
    async fn slow(&self) -> i32 {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        4
    }
}

#[derive(Default)]
struct Change;

#[Object]
impl Change {
    async fn change(&self) -> i32 {
        1
    }
    async fn fail(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, Trouble);

#[derive(MergedObject, Default)]
struct Mutation(symbolon::Mutation, Change);

pub async fn trouble() -> TestApp {
    TestApp::with_routes(
        |_| {},
        |symbolon| {
            let roots = (Query::default(), Mutation::default());
            symbolon.routes(
                symbolon
                    .schema(roots.0, roots.1, EmptySubscription)
                    .finish(),
            )
        },
    )
    .await
}

/// Returns the paths of the errors, in order.
fn paths(answer: &Answer) -> Value {
    let errors = answer.at("/errors").as_array().cloned().unwrap_or_default();
    let mut paths: Vec<_> = errors
        .into_iter()
        .map(|mut error| error["path"].take())
        .collect();
    paths.sort_by_key(ToString::to_string);
    paths.into()
}

#[tokio::test]
async fn a_null_propagates_to_the_nearest_nullable_field() {
    let app = trouble().await;
    for (document, data, failed) in [
        (
            "{ a: fine may b: fine }",
            json!({ "a": 1, "may": null, "b": 1 }),
            json!([["may"]]),
        ),
        ("{ fine must }", json!(null), json!([["must"]])),
        (
            "{ fine inner { fine must } }",
            json!({ "fine": 1, "inner": null }),
            json!([["inner", "must"]]),
        ),
        (
            "{ fine inner { fine may } }",
            json!({ "fine": 1, "inner": { "fine": 1, "may": null } }),
            json!([["inner", "may"]]),
        ),
        (
            "{ fine inner { innerMust { must } } }",
            json!({ "fine": 1, "inner": null }),
            json!([["inner", "innerMust", "must"]]),
        ),
        (
            "{ fine innerMust { must } }",
            json!(null),
            json!([["innerMust", "must"]]),
        ),
        (
            "{ list { may } }",
            json!({ "list": [{ "may": null }, null, { "may": null }] }),
            json!([["list", 0, "may"], ["list", 2, "may"]]),
        ),
        (
            "{ list { must } }",
            json!({ "list": [null, null, null] }),
            json!([["list", 0, "must"], ["list", 2, "must"]]),
        ),
        (
            "{ guarded fine }",
            json!({ "guarded": null, "fine": 1 }),
            json!([["guarded"]]),
        ),
        (
            "{ fine guardedMust }",
            json!(null),
            json!([["guardedMust"]]),
        ),
        (
            "{ inner { guardedMust } fine }",
            json!({ "inner": null, "fine": 1 }),
            json!([["inner", "guardedMust"]]),
        ),
        (
            "{ name fine }",
            json!({ "name": null, "fine": 1 }),
            json!([]),
        ),
        (
            r#"{ user(id: "1") { id } fine }"#,
            json!({ "user": null, "fine": 1 }),
            json!([["user"]]),
        ),
        ("{ me { id } fine }", json!(null), json!([["me"]])),
    ] {
        // The second request uses the cached document.
        for _ in 0..3 {
            let answer = app.graphql(document).send().await;
            assert_eq!(answer.status, 200, "{document}");
            assert_eq!(answer.at("/data"), &data, "{document}: {answer:?}");
            assert!(
                answer.body.as_object().unwrap().contains_key("data"),
                "{document}"
            );
            assert_eq!(paths(&answer), failed, "{document}: {answer:?}");
        }
    }
    let one = app.graphql("{ fine listMust { must } }").send().await;
    assert_eq!(one.at("/data"), &json!({ "fine": 1, "listMust": null }));
}

#[tokio::test]
async fn mutations_continue_after_the_failure_of_a_nullable_field() {
    let app = trouble().await;
    let answer = app
        .graphql("mutation { a: change fail b: change }")
        .send()
        .await;
    assert_eq!(answer.at("/data"), &json!({ "a": 1, "fail": null, "b": 1 }));
    assert_eq!(paths(&answer), json!([["fail"]]));
}

#[tokio::test]
async fn error_messages_of_embedders_are_kept_and_other_errors_are_masked() {
    let app = trouble().await;
    let authors = app.graphql("{ may }").send().await;
    assert_eq!(authors.error().0, "BAD_USER_INPUT");
    assert_eq!(authors.at("/errors/0/message"), "The author's words.");
    for document in ["{ leaks }", "{ panics }"] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.error().0, "INTERNAL_SERVER_ERROR", "{document}");
        let id = answer.at("/errors/0/extensions/requestId");
        assert_eq!(id, answer.header("x-request-id"), "{document}");
        assert!(!answer.body.to_string().contains("SELECT"), "{answer:?}");
    }
    // The server continues to answer.
    assert_eq!(app.graphql("{ fine }").send().await.at("/data/fine"), 1);
}

#[tokio::test]
async fn a_panic_is_answered_with_500_and_without_data() {
    let app = trouble().await;
    let answer = app.graphql("{ fine panics }").send().await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.as_object().unwrap().contains_key("data"));
}

#[tokio::test]
async fn an_argument_out_of_range_is_bad_user_input() {
    let app = trouble().await;
    let answer = app.graphql("{ fine at(place: 4) }").send().await;
    assert_eq!(answer.error().0, "BAD_USER_INPUT");
    assert_eq!(answer.at("/data"), &json!({ "fine": 1, "at": null }));
    let huge = app.graphql("{ at(place: 4000000000) }").send().await;
    assert!(["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&huge.error().0));
}
